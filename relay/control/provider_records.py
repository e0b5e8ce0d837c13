"""Authorization providers: as the control plane shows them, and as the data plane uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relay.auth.base import AuthMode
from relay.auth.providers import CognitoProvider, LambdaProvider, OidcProvider, Provider


def provider_records(
    modes: Iterable[AuthMode], providers: Sequence[Provider]
) -> list[dict[str, Any]]:
    """The member ``authProviders`` of an API.

    Args:
        modes: every mode that is used.
        providers: the configuration of those that have one.
    """
    configured = [_record(provider) for provider in providers]
    types = {record["authType"] for record in configured}
    plain = [{"authType": mode.value} for mode in AuthMode if mode in modes]
    return [record for record in plain if record["authType"] not in types] + configured


def providers_of(
    records: Sequence[Mapping[str, Any]], *, known: Sequence[Provider]
) -> tuple[Provider, ...]:
    """What the data plane needs of the member ``authProviders``.

    Args:
        records: the member.
        known: configured providers, which also tell where keys are.
    """
    keys = {_issuer(one): one.jwks for one in known if not isinstance(one, LambdaProvider)}
    found: list[Provider] = []
    for record in records:
        match record["authType"]:
            case AuthMode.COGNITO:
                found.append(_cognito(record["cognitoConfig"], keys))
            case AuthMode.OIDC:
                found.append(_oidc(record["openIDConnectConfig"], keys))
            case AuthMode.LAMBDA:
                found.append(_lambda(record["lambdaAuthorizerConfig"]))
    return tuple(found)


def _record(provider: Provider) -> dict[str, Any]:
    more: dict[str, Any]
    match provider:
        case CognitoProvider():
            config = {"userPoolId": provider.user_pool_id, "awsRegion": provider.region}
            more = {"appIdClientRegex": provider.client_id}
            name = "cognitoConfig"
        case OidcProvider():
            config = {"issuer": provider.issuer}
            more = {
                "clientId": provider.client_id,
                "iatTTL": _milliseconds(provider.iat_ttl),
                "authTTL": _milliseconds(provider.auth_ttl),
            }
            name = "openIDConnectConfig"
        case LambdaProvider():
            config = {"authorizerUri": provider.uri}
            more = {
                "authorizerResultTtlInSeconds": int(provider.ttl),
                "identityValidationExpression": provider.expression,
            }
            name = "lambdaAuthorizerConfig"
    given = {key: value for key, value in more.items() if value is not None}
    return {"authType": provider.mode.value, name: {**config, **given}}


def _cognito(config: Mapping[str, Any], keys: Mapping[str, str | None]) -> CognitoProvider:
    return CognitoProvider(
        user_pool_id=config["userPoolId"],
        region=config["awsRegion"],
        client_id=config.get("appIdClientRegex"),
        jwks=keys.get(config["userPoolId"]),
    )


def _oidc(config: Mapping[str, Any], keys: Mapping[str, str | None]) -> OidcProvider:
    return OidcProvider(
        issuer=config["issuer"],
        client_id=config.get("clientId"),
        iat_ttl=_seconds(config.get("iatTTL")),
        auth_ttl=_seconds(config.get("authTTL")),
        jwks=keys.get(config["issuer"]),
    )


def _lambda(config: Mapping[str, Any]) -> LambdaProvider:
    return LambdaProvider(
        uri=config["authorizerUri"],
        ttl=float(config.get("authorizerResultTtlInSeconds", 0)),
        expression=config.get("identityValidationExpression"),
    )


def _issuer(provider: CognitoProvider | OidcProvider) -> str:
    return provider.issuer if isinstance(provider, OidcProvider) else provider.user_pool_id


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
