"""Who may do what: the mode is chosen by the credentials, allowed by the API or the namespace.

Default deny: credentials of no configured mode, of a mode that the API or the namespace does not
list, and a namespace that does not exist are all refused (developer guide, "Configuring
authorization and authentication").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.auth.api_key import ApiKeyAuthorizer
from relay.auth.base import (
    AccessDenied,
    AccessRequest,
    AuthMode,
    Authorizer,
    Identity,
    Operation,
)

REMEMBERED_COUNT = 1024
REMEMBERED_BYTES = 1024  # of one authorization object

# Which mode is tried first where the credentials fit several; the rest follow in this order.
PRECEDENCE = (AuthMode.API_KEY, AuthMode.AWS_IAM, AuthMode.COGNITO, AuthMode.OIDC, AuthMode.LAMBDA)


@dataclass(frozen=True, slots=True)
class Modes:
    """Which modes open what; an empty set denies everybody."""

    connect: frozenset[AuthMode]
    publish: frozenset[AuthMode]
    subscribe: frozenset[AuthMode]

    def of(self, operation: Operation) -> frozenset[AuthMode]:
        """The modes that may do this."""
        match operation:
            case Operation.CONNECT:
                return self.connect
            case Operation.PUBLISH:
                return self.publish
            case Operation.SUBSCRIBE:
                return self.subscribe


def decide_authorizer(
    authorizers: Sequence[Authorizer], credentials: Mapping[str, str]
) -> Authorizer | None:
    """The configured mode that these credentials are of, or None."""
    fitting = [one for one in authorizers if one.recognizes(credentials)]
    return min(fitting, key=lambda one: PRECEDENCE.index(one.mode), default=None)


class Access:
    """The decisions of one API.

    It remembers API keys that were right, by the bytes of the authorization object, since they
    come with every publish and depend on nothing else. Every other mode is asked every time.
    """

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)
        self._remembered: dict[tuple[bytes, frozenset[AuthMode]], tuple[float, Identity]] = {}

    async def decide(self, request: AccessRequest, allowed: frozenset[AuthMode]) -> Identity:
        """Proves who asks, and that the mode is one of ``allowed``.

        Raises:
            AccessDenied: no credentials (without a message, as AWS), wrong ones, or of a mode that
                is not allowed here.
        """
        authorizer = decide_authorizer(self._authorizers, request.credentials)
        if authorizer is None:
            presented = request.credentials.keys() & {"x-api-key", "authorization"}
            raise AccessDenied() if presented else AccessDenied(None)
        identity = await authorizer.authorize(request)
        if authorizer.mode not in allowed:
            raise AccessDenied(error_code=403)
        return identity

    def remember(
        self,
        presented: bytes,
        allowed: frozenset[AuthMode],
        *,
        credentials: Mapping[str, str],
        identity: Identity,
    ) -> None:
        """Keeps an allowed decision, if its mode is one that depends on the credentials alone.

        Args:
            presented: the bytes that stand for the credentials; empty ones are never kept, since
                they would open the door to whoever presents nothing.
            allowed: the modes of the decision.
            credentials: the same, read.
            identity: what was decided.
        """
        if identity.mode is not AuthMode.API_KEY or not 0 < len(presented) <= REMEMBERED_BYTES:
            return
        until = max(
            one.valid_until(credentials)
            for one in self._authorizers
            if isinstance(one, ApiKeyAuthorizer)
        )
        if len(self._remembered) >= REMEMBERED_COUNT:
            self._remembered.clear()
        self._remembered[presented, allowed] = (until, identity)

    def recall(
        self, presented: bytes, allowed: frozenset[AuthMode], *, wall: float
    ) -> Identity | None:
        """An earlier decision that still holds at ``wall``, or None: then :meth:`decide`."""
        found = self._remembered.get((presented, allowed))
        return found[1] if found is not None and wall < found[0] else None
