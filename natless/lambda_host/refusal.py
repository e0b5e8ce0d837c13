"""Why a call was not taken, as AWS words it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """A call that runs no function.

    Attributes:
        status: the HTTP status.
        error_type: AWS's name, such as ``ResourceNotFoundException``.
        message: for people.
        reason: further word for programs, such as why a call was throttled; or empty.
    """

    def __init__(self, status: int, error_type: str, message: str, *, reason: str = "") -> None:
        super().__init__(f"{error_type}: {message}")
        self.status = status
        self.error_type = error_type
        self.message = message
        self.reason = reason

    @property
    def headers(self) -> Mapping[str, str]:
        """What an SDK reads: the type of the error, and when to come back."""
        headers = {"X-Amzn-ErrorType": self.error_type}
        return headers | ({"Retry-After": "1"} if self.status == 429 else {})

    @property
    def body(self) -> bytes:
        """The JSON that AWS sends along; SDKs read either spelling of the message."""
        members: dict[str, Any] = {"Type": "User", "Message": self.message, "message": self.message}
        if self.reason:
            members["Reason"] = self.reason
        return json.dumps(members, separators=(",", ":")).encode()


def not_found(arn: str) -> Refusal:
    """No such function, version or alias."""
    return Refusal(404, "ResourceNotFoundException", f"Function not found: {arn}")


def throttled() -> Refusal:
    """Every execution environment is busy."""
    return Refusal(
        429,
        "TooManyRequestsException",
        "Rate Exceeded.",
        reason="ReservedFunctionConcurrentInvocationLimitExceeded",
    )


def too_large(size: int, *, limit: int) -> Refusal:
    """The event has more bytes than a call may bring."""
    return Refusal(
        413,
        "RequestTooLargeException",
        f"Request must be smaller than {limit} bytes for the InvokeFunction operation, "
        f"this one has {size}",
    )
