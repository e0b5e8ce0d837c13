"""API keys: the mode in which a client presents one shared secret (developer guide, API_KEY)."""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Identity

HEADER = "x-api-key"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key.

    Attributes:
        id: the secret itself, as AWS has it; usually ``da2-`` and 26 characters, but any is taken
            (LocalStack and moto issue shorter ones).
        expires: seconds since 1970, None for never.
        description: free text.
    """

    id: str
    expires: float | None = None
    description: str = ""

    def __repr__(self) -> str:
        return f"ApiKey(id='{self.id[:4]}…', expires={self.expires!r})"


class ApiKeyAuthorizer:
    """Allows whoever presents a known key that has not expired."""

    mode = AuthMode.API_KEY

    def __init__(self, keys: Sequence[ApiKey], *, wall: Callable[[], float]) -> None:
        self._keys = tuple((key.id.encode(), key) for key in keys)
        self._wall = wall

    def recognizes(self, credentials: Mapping[str, str]) -> bool:
        """Whether a key is presented."""
        return HEADER in credentials

    async def authorize(self, request: AccessRequest) -> Identity:
        """Finds the key.

        Raises:
            AccessDenied: there is no such key, or it has expired.
        """
        if self._wall() >= self.valid_until(request.credentials):
            raise AccessDenied
        return Identity(AuthMode.API_KEY)

    def valid_until(self, credentials: Mapping[str, str]) -> float:
        """Until when the presented key holds, in seconds since 1970; 0 for an unknown one."""
        presented = credentials.get(HEADER, "").encode("utf-8", "surrogatepass")
        until = 0.0
        for secret, key in self._keys:  # all of them, so that time tells nothing
            if hmac.compare_digest(secret, presented):
                until = math.inf if key.expires is None else key.expires
        return until
