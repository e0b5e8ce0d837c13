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
    """The decisions of one API."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

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

    def holds_until(self, identity: Identity, credentials: Mapping[str, str]) -> float:
        """Until when a decision may be repeated without asking, in seconds since 1970.

        Only an API key depends on nothing but itself and time; all else is 0: ask every time.
        """
        if identity.mode is not AuthMode.API_KEY:
            return 0.0
        return max(
            one.valid_until(credentials)
            for one in self._authorizers
            if isinstance(one, ApiKeyAuthorizer)
        )
