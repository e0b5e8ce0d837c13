from __future__ import annotations

import pytest

from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Operation
from relay.auth.configured import Authorities, FirstOf, function_url, policies_of
from relay.auth.iam_policy import Policies
from relay.auth.issuer import Issuer
from relay.auth.jwks import FixedKeys
from relay.auth.mint import issuer_of_user_pool
from relay.auth.providers import CognitoProvider, LambdaProvider, OidcProvider
from relay.clock import HandMovedClock
from relay.config import ApiConfig, IamCredential
from relay.errors import ConfigInvalid

LABEL = "abcdefghijklmnopqrstuvwxyz"
NOW = 1_800_000_000.0
POOL = CognitoProvider(user_pool_id="us-east-1_A", region="us-east-1")


def authorities(**more) -> Authorities:
    return Authorities(clock=HandMovedClock(), **more)


def request(token: str) -> AccessRequest:
    return AccessRequest(Operation.CONNECT, {"authorization": token}, api_id="x" * 26, host="h")


def modes(**config) -> list[AuthMode]:
    return [one.mode for one in authorities().make(ApiConfig(label=LABEL, **config))]


def test_an_api_without_anything_has_no_authorizer():
    assert modes() == []


def test_each_provider_has_an_authorizer():
    assert modes(
        iam=(IamCredential(access_key_id="a", secret_access_key="b"),),
        providers=(
            POOL,
            OidcProvider(issuer="https://i", jwks="keys.json"),
            OidcProvider(issuer="https://j"),
            LambdaProvider(uri="http://localhost/"),
        ),
    ) == [AuthMode.AWS_IAM, AuthMode.COGNITO, AuthMode.OIDC, AuthMode.OIDC, AuthMode.LAMBDA]


@pytest.mark.parametrize("verify", ["parse-only", "off"])
def test_signatures_that_are_not_proved_need_no_identity(verify):
    config = ApiConfig(label=LABEL, verify=verify)
    assert [one.mode for one in authorities().make(config)] == [AuthMode.AWS_IAM]
    assert config.configured_modes == {AuthMode.AWS_IAM}


async def test_the_mint_vouches_for_a_configured_user_pool_and_for_no_other():
    subject = authorities()
    (authorizer,) = subject.make(ApiConfig(label=LABEL, providers=(POOL,)))
    issuer = issuer_of_user_pool("us-east-1_A", region="us-east-1")
    claims = {"token_use": "access"}
    identity = await authorizer.authorize(
        request(subject.mint.mint(issuer, claims, now=NOW, lifetime=60.0))
    )
    assert identity.mode is AuthMode.COGNITO
    other = subject.mint.mint("https://other", claims, now=NOW, lifetime=60.0)
    assert not authorizer.recognizes({"authorization": other})
    with pytest.raises(AccessDenied):
        await authorizer.authorize(request(other))


async def test_a_mint_proves_only_its_own_tokens():
    first, second = authorities(), authorities()
    (authorizer,) = first.make(ApiConfig(label=LABEL, providers=(POOL,)))
    issuer = issuer_of_user_pool("us-east-1_A", region="us-east-1")
    token = second.mint.mint(issuer, {"token_use": "access"}, now=NOW, lifetime=60.0)
    with pytest.raises(AccessDenied):
        await authorizer.authorize(request(token))
    assert list(await first.mint.find(None)) == []


async def test_the_first_source_that_has_a_key_counts():
    first, second = (
        FixedKeys(Issuer.generate("x", algorithm="HS256", kid=kid).jwks()) for kid in ("a", "b")
    )
    source = FirstOf([first, second])
    assert [key.kid for key in await source.find("b")] == ["b"]
    assert [key.kid for key in await source.find(None)] == ["a"]
    assert list(await source.find("c")) == []


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("https://f.example/x", "https://f.example/x"),
        ("name", "http://e:9001/2015-03-31/functions/name/invocations"),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:name",
            "http://e:9001/2015-03-31/functions/name/invocations",
        ),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:name:live",
            "http://e:9001/2015-03-31/functions/name/invocations",
        ),
        ("a/../b", "http://e:9001/2015-03-31/functions/a%2F..%2Fb/invocations"),
    ],
)
def test_a_function_is_asked_at_its_address_or_at_the_endpoint(uri, url):
    assert function_url(uri, endpoint="http://e:9001/") == url


async def test_a_named_function_without_an_endpoint_is_a_refusal():
    (authorizer,) = authorities().make(
        ApiConfig(label=LABEL, providers=(LambdaProvider(uri="name"),))
    )
    with pytest.raises(AccessDenied):
        await authorizer.authorize(request("token"))


def test_policies_limit_only_who_has_some():
    free = IamCredential(access_key_id="a", secret_access_key="x")
    bound = IamCredential(access_key_id="b", secret_access_key="x", policies=Policies())
    assert policies_of([free]) is None
    found = policies_of([free, bound])
    assert found["a"].allow("appsync:EventConnect", ["arn"])
    assert not found["b"].allow("appsync:EventConnect", ["arn"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: CognitoProvider(user_pool_id="x", region="y", client_id="("),
        lambda: OidcProvider(issuer="x", client_id="("),
        lambda: LambdaProvider(uri="x", expression="("),
        lambda: LambdaProvider(uri="x", ttl=3601.0),
    ],
)
def test_a_provider_that_makes_no_sense_is_refused(make):
    with pytest.raises(ConfigInvalid):
        make()
