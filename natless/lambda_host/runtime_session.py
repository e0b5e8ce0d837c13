"""What a runtime may ask of the Runtime API, and in which order: a machine without I/O.

::

    Started ──next──▶ Ready ──event──▶ Running ──response──▶ InvocationResponse ──▶ ResponseSent
       │                ▲                 │ └────error─────▶ InvocationErrorResponse ──▶ │
       │ init/error     │                 │ next: the same event again                   │
       ▼                └─────────────────┴───────────────────next───────────────────────┘
    InitError (everything else is refused)

States, their names and the texts of refusals are those of the open core of Lambda
(aws-lambda-runtime-interface-emulator, ``internal/lambda/core`` and ``rapi``). The shell in
``runtime_api.py`` does the HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024 + 100  # AWS Lambda quotas; the 100 are in the open core
INVOCATION_ID = "lambda-runtime-invocation-id"


class RuntimeState(StrEnum):
    """Where a runtime is; the value is the name that refusals carry."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    READY = "Ready"
    RUNNING = "Running"
    INVOCATION_RESPONSE = "InvocationResponse"
    INVOCATION_ERROR_RESPONSE = "InvocationErrorResponse"
    RESPONSE_SENT = "RuntimeResponseSentState"


@dataclass(frozen=True, slots=True)
class Event:
    """One invocation as ``next`` hands it out.

    Attributes:
        request_id: the invocation's id.
        headers: what the runtime reads beside the body; empty values are left out on the wire.
        body: the event, bytes of JSON.
    """

    request_id: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def invocation_id(self) -> str | None:
        """The nonce that a post may echo; None when the event carries none."""
        return next((v for k, v in self.headers.items() if k.lower() == INVOCATION_ID), None)


class AnswerKind(StrEnum):
    """Which door an answer came through."""

    RESPONSE = "response"
    ERROR = "error"
    INIT_ERROR = "init-error"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a runtime posted, or what stands for it when the post was not acceptable.

    Attributes:
        kind: response or error.
        body: the bytes for the caller.
        error_type: for errors, such as ``Runtime.ImportModuleError``; empty for a response.
        headers: the post's headers, names in lower case.
        streamed_bytes: how many bytes a sink was given before; then the body is what ended the
            stream, or empty. None when the body is all there is.
    """

    kind: AnswerKind
    body: bytes
    error_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    streamed_bytes: int | None = None

    @property
    def is_error(self) -> bool:
        """Whether the caller is told about a function error."""
        return self.kind is not AnswerKind.RESPONSE


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that the Runtime API turns down.

    Attributes:
        status: the HTTP status.
        error_type: AWS's name.
        message: the text beside it.
    """

    status: int
    error_type: str
    message: str

    @property
    def body(self) -> bytes:
        """The JSON that the runtime reads."""
        members = {"errorMessage": self.message, "errorType": self.error_type}
        return json.dumps(members, separators=(",", ":")).encode()


INVALID_REQUEST_ID = Refusal(400, "InvalidRequestID", "Invalid request ID")
INVALID_RESPONSE_MODE = Refusal(
    400, "InvalidFunctionResponseMode", "Invalid function response mode"
)
TRUNCATED_REQUEST = Refusal(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
TOO_LARGE = Refusal(
    413,
    "RequestEntityTooLarge",
    f"Exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes).",
)
# aws/aws-lambda-rust-runtime#1155: the echoed invocation id is of another, earlier invocation
STALE_INVOCATION = Refusal(410, "ErrorRuntimeInvokeTimeout", "Invoke timeout")

_POSTS = {
    AnswerKind.RESPONSE: RuntimeState.INVOCATION_RESPONSE,
    AnswerKind.ERROR: RuntimeState.INVOCATION_ERROR_RESPONSE,
}


class RuntimeSession:
    """The order of calls of one runtime process, from its start to its end."""

    def __init__(self) -> None:
        self.state = RuntimeState.STARTED
        self.event: Event | None = None

    def ask(self) -> Refusal | None:
        """A ``next`` arrived; unless refused, wait for :attr:`event`, then :meth:`serve` it.

        A runtime that asks again while an invocation runs gets the same event again.
        """
        match self.state:
            case RuntimeState.STARTED:
                self.state = RuntimeState.READY
            case RuntimeState.RESPONSE_SENT:
                self.state = RuntimeState.READY
                self.event = None
            case RuntimeState.READY | RuntimeState.RUNNING:
                pass
            case _:
                return self._not_allowed(RuntimeState.READY)
        return None

    def offer(self, event: Event) -> None:
        """Makes ``event`` the one that the next :meth:`serve` hands out.

        Raises:
            RuntimeError: the runtime did not ask, or has an event already.
        """
        if self.state is not RuntimeState.READY or self.event is not None:
            raise RuntimeError(f"the runtime is {self.state} and cannot take an event")
        self.event = event

    def serve(self) -> Event:
        """The event, which now runs.

        Raises:
            RuntimeError: there is none.
        """
        if self.event is None:
            raise RuntimeError("no event was offered")
        if self.state is RuntimeState.READY:
            self.state = RuntimeState.RUNNING
        return self.event

    def begin_post(
        self, kind: AnswerKind, *, request_id: str, invocation_id: str | None = None
    ) -> Refusal | None:
        """A response or an error begins to arrive; unless refused, :meth:`finish_post` follows."""
        if self.event is None or request_id != self.event.request_id:
            return INVALID_REQUEST_ID
        expected = self.event.invocation_id
        if invocation_id is not None and expected is not None and invocation_id != expected:
            return STALE_INVOCATION
        if self.state is not RuntimeState.RUNNING:
            return self._not_allowed(_POSTS[kind])
        self.state = _POSTS[kind]
        return None

    def finish_post(self) -> None:
        """The body is in, or will never come: the runtime may ask for the next event."""
        self.state = RuntimeState.RESPONSE_SENT

    def fail_init(self) -> Refusal | None:
        """An ``init/error`` arrived."""
        if self.state is not RuntimeState.STARTED:
            return self._not_allowed(RuntimeState.INIT_ERROR)
        self.state = RuntimeState.INIT_ERROR
        return None

    def _not_allowed(self, target: RuntimeState) -> Refusal:
        return Refusal(
            403,
            "InvalidStateTransition",
            f"State transition from {self.state} to {target} failed for runtime. "
            "Error: State transition is not allowed",
        )


def parse_error_type(header: str | None) -> str:
    """The type that Lambda keeps of ``Lambda-Runtime-Function-Error-Type`` (``fatalerror.go``)."""
    if header and re.search(r"(Runtime|Function)\.[A-Z][a-zA-Z]+", header):
        return header
    if header and header.startswith("Function."):
        return "Function.Unknown"
    return "Runtime.Unknown"


def too_large_answer(size: int, *, limit: int = MAX_PAYLOAD_BYTES) -> Answer:
    """What the caller gets when a response of at least ``size`` bytes was refused."""
    return platform_error(
        "Function.ResponseSizeTooLarge",
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size "
        f"({limit} bytes).",
    )


def platform_error(error_type: str, message: str) -> Answer:
    """An error that Lambda itself writes, in the order of members that it uses."""
    members = {"errorType": error_type, "errorMessage": message}
    body = json.dumps(members, separators=(",", ":")).encode()
    return Answer(AnswerKind.ERROR, body, error_type=error_type)
