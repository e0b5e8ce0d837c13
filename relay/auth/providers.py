"""What an API's token and Lambda modes are configured with; values only, nothing is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.auth.base import AuthMode
from relay.errors import ConfigInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class CognitoProvider:
    """A Cognito user pool.

    Attributes:
        user_pool_id: as ``us-east-1_AbCdEfGhI``.
        region: the pool's region.
        client_id: an expression that the app client's id must match; None for any.
        jwks: path or address of the pool's key set; None for the relay's own issuer alone, since
            nothing leaves this machine unasked.
    """

    user_pool_id: str
    region: str
    client_id: str | None = None
    jwks: str | None = None

    mode = AuthMode.COGNITO

    def __post_init__(self) -> None:
        _check_expression("client_id", self.client_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """An OpenID Connect issuer.

    Attributes:
        issuer: the value of ``iss``.
        client_id: an expression that ``aud`` or ``azp`` must match; None for any.
        iat_ttl: how long after ``iat`` a token may be used, seconds; None or 0 for as long as it
            says.
        auth_ttl: how long after ``auth_time``, seconds; None or 0 likewise.
        jwks: path or address of the issuer's key set; None for what its discovery document names.
    """

    issuer: str
    client_id: str | None = None
    iat_ttl: float | None = None
    auth_ttl: float | None = None
    jwks: str | None = None

    mode = AuthMode.OIDC

    def __post_init__(self) -> None:
        _check_expression("client_id", self.client_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaProvider:
    """A Lambda authorizer.

    Attributes:
        uri: the address that is asked, or the function's ARN or name: then it is invoked at the
            relay's Lambda endpoint.
        ttl: how long an answer is used again unless it says otherwise, seconds.
        expression: what a token must match before the function is asked; None for any.
    """

    uri: str
    ttl: float = 0.0
    expression: str | None = None

    mode = AuthMode.LAMBDA

    def __post_init__(self) -> None:
        _check_expression("expression", self.expression)
        if not 0 <= self.ttl <= 3600:
            raise ConfigInvalid("the ttl of a Lambda authorizer must be 0 to 3600 seconds")


Provider = CognitoProvider | OidcProvider | LambdaProvider


def _check_expression(name: str, expression: str | None) -> None:
    try:
        re.compile(expression or "")
    except re.error as error:
        raise ConfigInvalid(f"{name} is not a regular expression: {error}") from error
