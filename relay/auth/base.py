"""What every authorization mode is asked, and what it may answer.

One mode per file beside this one. A mode is chosen by the credentials that a client presents, is
asked once per operation, and answers with an :class:`Identity` or raises :class:`AccessDenied`.
Whether the API or the channel namespace allows that mode at all is decided in ``access.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class AuthMode(StrEnum):
    """AWS's names of the authorization modes of an Event API (botocore, AuthenticationType)."""

    API_KEY = "API_KEY"
    AWS_IAM = "AWS_IAM"
    COGNITO = "AMAZON_COGNITO_USER_POOLS"
    OIDC = "OPENID_CONNECT"
    LAMBDA = "AWS_LAMBDA"


class Operation(StrEnum):
    """What is about to be done; the value is the name that a Lambda authorizer is told."""

    CONNECT = "EVENT_CONNECT"
    SUBSCRIBE = "EVENT_SUBSCRIBE"
    PUBLISH = "EVENT_PUBLISH"


@dataclass(frozen=True, slots=True)
class GraphqlQuestion:
    """What a GraphQL request asks, as far as it could be read.

    Attributes:
        query: its text.
        operation_name: which operation of it, None if it does not say.
        variables: as sent.
    """

    query: str = ""
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One operation that wants to be allowed.

    Attributes:
        operation: what is asked.
        credentials: the authorization object or the HTTP headers, names in lower case, values as
            sent.
        api_id: the API that is addressed.
        host: the API's HTTP host name, used where the credentials do not carry one.
        channel: normalized channel with leading slash, None for connect.
        namespace: the channel's first segment, None for connect.
        raw_channel: the channel exactly as sent (what a signature covers), None for connect.
        raw_events: the publish frame's event strings exactly as sent; None unless publishing on a
            WebSocket.
        body: the literal request body of an HTTP publish, else None.
        headers: the HTTP request's headers, names in lower case (what a handler sees).
        source_ip: the peer's address.
        path: the path that a signature covers: ``/event``; GraphQL uses ``/graphql/connect`` and
            ``/graphql``.
        graphql: what is asked, None for an operation of Events.
    """

    operation: Operation
    credentials: Mapping[str, str]
    api_id: str
    host: str
    channel: str | None = None
    namespace: str | None = None
    raw_channel: str | None = None
    raw_events: tuple[str, ...] | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    source_ip: str = ""
    path: str = "/event"
    graphql: GraphqlQuestion | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, as proved by the credentials of one operation.

    Attributes:
        mode: how it was proved.
        claims: what a handler sees as ``ctx.identity`` (``appsync-events.md`` 6.2), None for an API
            key.
        denied_fields: of GraphQL, ``Type.field``, that a Lambda authorizer keeps from the caller.
    """

    mode: AuthMode
    claims: Mapping[str, Any] | None = None
    denied_fields: frozenset[str] = frozenset()


class AccessDenied(Exception):
    """The operation is refused.

    Attributes:
        error_type: AWS's name, ``UnauthorizedException`` or ``BadRequestException``.
        error_code: the number a ``connection_error`` carries, and the HTTP status of a publish.
        message: what the client reads; None where AWS sends none.
    """

    def __init__(
        self,
        message: str | None = "You are not authorized to make this call.",
        *,
        error_type: str = "UnauthorizedException",
        error_code: int = 401,
    ) -> None:
        super().__init__(message or error_type)
        self.message = message
        self.error_type = error_type
        self.error_code = error_code


class Authorizer(Protocol):
    """One configured way to prove an identity."""

    @property
    def mode(self) -> AuthMode:
        """The mode that this authorizer implements."""

    def recognizes(self, credentials: Mapping[str, str]) -> bool:
        """Whether these credentials are of this mode; cheap, checks nothing."""

    async def authorize(self, request: AccessRequest) -> Identity:
        """Proves the identity.

        Raises:
            AccessDenied: the credentials do not hold, or do not allow the operation.
        """
