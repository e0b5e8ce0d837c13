"""From an API's configuration to its authorizers.

What a mode needs is imported when an API uses it: most relays never prove a token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from relay.auth.api_key import ApiKeyAuthorizer
from relay.auth.base import Authorizer
from relay.auth.mint import Mint
from relay.auth.providers import CognitoProvider, LambdaProvider, OidcProvider, Provider
from relay.clock import Clock

if TYPE_CHECKING:
    from relay.auth.fetch import Fetcher
    from relay.auth.iam_policy import Policies
    from relay.auth.jwks import Jwk, KeySource
    from relay.auth.jwt import CognitoRules, OidcRules
    from relay.config import ApiConfig, IamCredential

KEYS_BUDGET = 5.0  # seconds for a key set or a discovery document
INVOKE_PATH = "/2015-03-31/functions/{}/invocations"  # AWS Lambda API reference, Invoke


class Authorities:
    """Makes authorizers, and holds what they share.

    Args:
        clock: whose time counts.
        lambda_endpoint: where functions are invoked that are named and not addressed.

    Attributes:
        mint: the relay's own issuer.
    """

    def __init__(self, *, clock: Clock, lambda_endpoint: str | None = None) -> None:
        self.mint = Mint()
        self._clock = clock
        self._lambda_endpoint = lambda_endpoint
        self._fetchers: dict[float, Fetcher] = {}

    def make(self, config: ApiConfig) -> list[Authorizer]:
        """One authorizer for each mode of an API that has something to prove oneself with."""
        wall = self._clock.wall
        authorizers: list[Authorizer] = []
        if config.api_keys:
            authorizers.append(ApiKeyAuthorizer(config.api_keys, wall=wall))
        if config.iam or config.verify != "strict":
            from relay.auth.sigv4 import Sigv4Authorizer

            authorizers.append(
                Sigv4Authorizer(
                    secrets_of(config.iam),
                    tokens=tokens_of(config.iam),
                    region=config.region,
                    verify=config.verify,
                    policies=policies_of(config.iam),
                    clock=wall,
                    account=config.account,
                )
            )
        return authorizers + [self._make_one(one, config) for one in config.providers]

    async def aclose(self) -> None:
        """Closes the connections to issuers and functions."""
        for fetcher in self._fetchers.values():
            await fetcher.aclose()

    def _make_one(self, provider: Provider, config: ApiConfig) -> Authorizer:
        match provider:
            case CognitoProvider():
                from relay.auth.jwt import CognitoRules

                return self._make_tokens(
                    CognitoRules(
                        provider.user_pool_id, provider.region, _compile(provider.client_id)
                    ),
                    [self._locate(provider.jwks)] if provider.jwks else [],
                )
            case OidcProvider():
                from relay.auth.jwt import OidcRules

                return self._make_tokens(
                    OidcRules(
                        provider.issuer,
                        _compile(provider.client_id),
                        iat_ttl=provider.iat_ttl or None,
                        auth_ttl=provider.auth_ttl or None,
                    ),
                    [
                        self._locate(provider.jwks)
                        if provider.jwks
                        else self._discover(provider.issuer)
                    ],
                )
            case LambdaProvider():
                return self._make_lambda(provider, account=config.account)

    def _make_tokens(
        self, rules: OidcRules | CognitoRules, sources: Sequence[KeySource]
    ) -> Authorizer:
        from relay.auth.jwt import JwtAuthorizer

        keys = FirstOf([self.mint, *sources])
        return JwtAuthorizer(rules, keys=keys, clock=self._clock.wall)

    def _make_lambda(self, provider: LambdaProvider, *, account: str) -> Authorizer:
        from relay.auth.lambda_authorizer import AUTHORIZER_BUDGET, HttpFunction, LambdaAuthorizer

        url = function_url(provider.uri, endpoint=self._lambda_endpoint)
        return LambdaAuthorizer(
            HttpFunction(url, fetcher=self._fetcher(AUTHORIZER_BUDGET)),
            ttl=provider.ttl,
            expression=_compile(provider.expression),
            clock=self._clock.now,
            account=account,
        )

    def _locate(self, place: str) -> KeySource:
        from pathlib import Path

        from relay.auth.jwks import FetchedKeys, FileKeys

        if place.startswith(("http://", "https://")):
            get = self._fetcher(KEYS_BUDGET).get
            return FetchedKeys(place, get=get, clock=self._clock.now)
        return FileKeys(Path(place))

    def _discover(self, issuer: str) -> KeySource:
        from relay.auth.jwks import FetchedKeys

        get = self._fetcher(KEYS_BUDGET).get
        return FetchedKeys(issuer, get=get, clock=self._clock.now, is_issuer=True)

    def _fetcher(self, budget: float) -> Fetcher:
        from relay.auth.fetch import Fetcher

        if budget not in self._fetchers:
            self._fetchers[budget] = Fetcher(budget=budget)
        return self._fetchers[budget]


class FirstOf:
    """Several sources of keys; the first that has the key counts."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = tuple(sources)

    async def find(self, kid: str | None) -> Sequence[Jwk]:
        """The keys of that id (see :class:`relay.auth.jwks.KeySource`)."""
        for source in self._sources:
            keys = await source.find(kid)
            if keys:
                return keys
        return ()


def function_url(uri: str, *, endpoint: str | None) -> str:
    """Where a Lambda authorizer is asked.

    Args:
        uri: an address, or a function's ARN or name, with or without a version.
        endpoint: where the Invoke API is; without one a named function cannot be asked, and the
            address is one that nobody answers at.
    """
    if uri.startswith(("http://", "https://")):
        return uri
    name = uri.split(":")[6] if uri.startswith("arn:") and uri.count(":") >= 6 else uri
    path = INVOKE_PATH.format(quote(name, safe=""))
    return f"{(endpoint or 'lambda-endpoint-not-given:').rstrip('/')}{path}"


def secrets_of(credentials: Sequence[IamCredential]) -> dict[str, str]:
    """The secrets by access key id."""
    return {one.access_key_id: one.secret_access_key for one in credentials}


def tokens_of(credentials: Sequence[IamCredential]) -> dict[str, str]:
    """The session tokens by access key id, of those that have one."""
    return {
        one.access_key_id: one.session_token for one in credentials if one.session_token is not None
    }


def policies_of(credentials: Sequence[IamCredential]) -> dict[str, Policies] | None:
    """What each access key id may do; None where nobody is limited."""
    if all(one.policies is None for one in credentials):
        return None
    from relay.auth.iam_policy import Policies

    return {one.access_key_id: one.policies or Policies.allow_all() for one in credentials}


def _compile(expression: str | None) -> re.Pattern[str] | None:
    return None if expression is None else re.compile(expression)
