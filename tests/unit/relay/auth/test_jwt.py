from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re

import pytest

from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Operation
from relay.auth.issuer import Issuer
from relay.auth.jwks import FixedKeys, KeysUnavailable
from relay.auth.jwt import CognitoRules, JwtAuthorizer, OidcRules, TokenError, decode_token

NOW = 1_800_000_000.0
URL = "https://issuer.example"
POOL = "us-east-1_AbCdEfGhI"
ALGORITHMS = [f"{family}{bits}" for family in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)]


@pytest.fixture(scope="module")
def issuer():
    return Issuer.generate(URL)


@pytest.fixture(scope="module")
def pool():
    return Issuer.for_user_pool(POOL, region="us-east-1")


def request(token: str) -> AccessRequest:
    return AccessRequest(
        Operation.CONNECT,
        {"authorization": token},
        api_id="a" * 26,
        host="h",
        source_ip="203.0.113.9",
    )


def oidc(issuer, now=NOW, **rules) -> JwtAuthorizer:
    return JwtAuthorizer(OidcRules(URL, **rules), keys=FixedKeys(issuer.jwks()), clock=lambda: now)


def cognito(pool, now=NOW, **rules) -> JwtAuthorizer:
    return JwtAuthorizer(
        CognitoRules(POOL, "us-east-1", **rules), keys=FixedKeys(pool.jwks()), clock=lambda: now
    )


def raw_token(header: object, claims: object, signature: bytes = b"") -> str:
    def part(value):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    return ".".join([part(header), part(claims), part(signature)])


async def refusal(authorizer, token: str) -> str:
    with pytest.raises(AccessDenied) as caught:
        await authorizer.authorize(request(token))
    assert (caught.value.error_type, caught.value.error_code) == ("UnauthorizedException", 401)
    return caught.value.message


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_proves_its_tokens_and_no_changed_one(algorithm):
    issuer = Issuer.generate(URL, algorithm=algorithm)
    token = issuer.mint({"sub": "u-1"}, now=NOW)
    identity = await oidc(issuer).authorize(request(token))
    assert identity.mode is AuthMode.OIDC
    assert identity.claims["sub"] == "u-1"
    header, _, signature = token.split(".")
    forged = json.dumps({"sub": "u-2", "iss": URL, "iat": NOW, "exp": NOW + 60}).encode()
    forged = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
    assert "signature" in await refusal(oidc(issuer), f"{header}.{forged}.{signature}")


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer  ", " "])
async def test_a_token_comes_bare_or_as_bearer(issuer, prefix):
    await oidc(issuer).authorize(request(prefix + issuer.mint({}, now=NOW)))


async def test_the_algorithm_none_is_refused(issuer):
    claims = {"iss": URL, "iat": NOW, "exp": NOW + 60}
    for name in ("none", "None", "NONE", "", None):
        token = raw_token({"alg": name}, claims)
        assert "algorithm" in await refusal(oidc(issuer), token)


async def test_a_public_key_is_not_taken_for_a_shared_secret(issuer):
    public = issuer.jwks()["keys"][0]["n"].encode()
    header = {"alg": "HS256", "kid": issuer.kid}
    claims = {"iss": URL, "iat": NOW, "exp": NOW + 60}
    signed = raw_token(header, claims).rpartition(".")[0]
    for secret in (public, base64.urlsafe_b64decode(public + b"==")):
        token = raw_token(header, claims, hmac.digest(secret, signed.encode(), hashlib.sha256))
        assert "signature" in await refusal(oidc(issuer), token)


async def test_a_key_that_is_bound_to_an_algorithm_proves_no_other(issuer):
    other = Issuer(URL, key=issuer._key, algorithm="RS512")
    assert "signature" in await refusal(oidc(issuer), other.mint({}, now=NOW))


async def test_the_curve_must_fit_the_algorithm():
    issuer = Issuer.generate(URL, algorithm="ES256")
    jwks = issuer.jwks()
    del jwks["keys"][0]["alg"]
    issuer.algorithm = "ES384"
    signed, _, signature = issuer.mint({}, now=NOW).rpartition(".")
    halves = base64.urlsafe_b64decode(signature + "==")
    padded = b"".join(bytes(16) + half for half in (halves[:32], halves[32:]))  # as long as wanted
    token = f"{signed}.{base64.urlsafe_b64encode(padded).decode()}"
    subject = JwtAuthorizer(OidcRules(URL), keys=FixedKeys(jwks), clock=lambda: NOW)
    assert "signature" in await refusal(subject, token)


async def test_a_signature_of_the_wrong_length_is_refused():
    issuer = Issuer.generate(URL, algorithm="ES256")
    token = issuer.mint({}, now=NOW)
    assert "signature" in await refusal(oidc(issuer), token[:-4])


async def test_a_token_of_an_unknown_key_is_refused(issuer):
    other = Issuer(URL, key=issuer._key, kid="other")
    assert "signature" in await refusal(oidc(issuer), other.mint({}, now=NOW))


async def test_a_token_without_kid_is_tried_with_all_keys(issuer):
    token = Issuer(URL, key=issuer._key, kid=None).mint({}, now=NOW)
    await oidc(issuer).authorize(request(token))


async def test_an_expired_token_says_so_in_the_words_that_amplify_looks_for(issuer):
    token = issuer.mint({}, now=NOW, lifetime=60)
    await oidc(issuer, now=NOW + 59).authorize(request(token))
    assert "Token expired" in await refusal(oidc(issuer, now=NOW + 60), token)


async def test_expiry_is_told_only_after_the_signature_was_proved(issuer):
    stranger = Issuer.generate(URL)
    token = stranger.mint({}, now=NOW, lifetime=-1)
    assert "Token expired" not in await refusal(oidc(issuer), token)


async def test_a_token_of_another_issuer_is_refused(issuer):
    token = issuer.mint({"iss": "https://other.example"}, now=NOW)
    assert "another issuer" in await refusal(oidc(issuer), token)


async def test_a_token_before_its_time_is_refused(issuer):
    token = issuer.mint({"nbf": NOW + 1}, now=NOW)
    assert "not valid yet" in await refusal(oidc(issuer), token)
    await oidc(issuer, now=NOW + 1).authorize(request(token))


@pytest.mark.parametrize("name", ["iat", "exp"])
@pytest.mark.parametrize("value", [None, "1800000000", True, [], 10**400])
async def test_times_must_be_there_and_be_numbers(issuer, name, value):
    assert await refusal(oidc(issuer), issuer.mint({name: value}, now=NOW))


async def test_iat_ttl_ends_a_token_early(issuer):
    token = issuer.mint({}, now=NOW)
    await oidc(issuer, now=NOW + 9, iat_ttl=10.0).authorize(request(token))
    assert "Token expired" in await refusal(oidc(issuer, now=NOW + 10, iat_ttl=10.0), token)


async def test_auth_ttl_counts_from_when_the_user_signed_in(issuer):
    token = issuer.mint({"auth_time": NOW - 5}, now=NOW)
    await oidc(issuer, now=NOW + 4, auth_ttl=10.0).authorize(request(token))
    assert "Token expired" in await refusal(oidc(issuer, now=NOW + 5, auth_ttl=10.0), token)
    assert "auth_time" in await refusal(oidc(issuer, auth_ttl=10.0), issuer.mint({}, now=NOW))


@pytest.mark.parametrize(
    ("claims", "fits"),
    [
        ({"aud": "app-1"}, True),
        ({"aud": ["x", "app-2"]}, True),
        ({"azp": "app-1", "aud": "x"}, True),
        ({"aud": "app-3"}, False),
        ({"aud": "my-app-1"}, False),
        ({"aud": "app-1x"}, False),
        ({"aud": 1}, False),
        ({}, False),
    ],
)
async def test_the_client_must_match_in_full(issuer, claims, fits):
    subject = oidc(issuer, client_id=re.compile("app-1|app-2"))
    token = issuer.mint(claims, now=NOW)
    if fits:
        await subject.authorize(request(token))
    else:
        assert "another client" in await refusal(subject, token)


async def test_an_access_token_of_a_user_pool_is_proved_and_described(pool):
    token = pool.mint(
        {
            "sub": "u-1",
            "token_use": "access",
            "client_id": "app",
            "username": "ada",
            "cognito:groups": ["admins"],
        },
        now=NOW,
    )
    identity = await cognito(pool).authorize(request(token))
    assert identity.mode is AuthMode.COGNITO
    described = dict(identity.claims)
    assert described.pop("claims")["client_id"] == "app"
    assert described == {
        "sourceIp": ["203.0.113.9"],
        "username": "ada",
        "groups": ["admins"],
        "sub": "u-1",
        "issuer": f"https://cognito-idp.us-east-1.amazonaws.com/{POOL}",
        "defaultAuthStrategy": "ALLOW",
    }


async def test_an_id_token_of_a_user_pool_is_proved(pool):
    token = pool.mint({"token_use": "id", "aud": "app", "cognito:username": "ada"}, now=NOW)
    subject = cognito(pool, client_id=re.compile("app"))
    identity = await subject.authorize(request(token))
    assert identity.claims["username"] == "ada"


@pytest.mark.parametrize("claims", [{}, {"token_use": "refresh"}])
async def test_other_tokens_of_a_user_pool_are_refused(pool, claims):
    assert "neither" in await refusal(cognito(pool), pool.mint(claims, now=NOW))


async def test_the_app_client_of_a_user_pool_must_match(pool):
    token = pool.mint({"token_use": "access", "client_id": "other"}, now=NOW)
    subject = cognito(pool, client_id=re.compile("app"))
    assert "app client" in await refusal(subject, token)


async def test_a_user_pool_signs_with_rs256_only(pool):
    other = Issuer(pool.issuer, key=pool._key, algorithm="RS384")
    jwks = other.jwks()
    subject = JwtAuthorizer(
        CognitoRules(POOL, "us-east-1"), keys=FixedKeys(jwks), clock=lambda: NOW
    )
    assert "RS256" in await refusal(subject, other.mint({"token_use": "access"}, now=NOW))


async def test_keys_that_cannot_be_had_are_a_refusal():
    class Nowhere:
        async def find(self, kid):
            raise KeysUnavailable("connection refused by https://secret.example")

    token = Issuer.generate(URL, algorithm="HS256").mint({}, now=NOW)
    subject = JwtAuthorizer(OidcRules(URL), keys=Nowhere(), clock=lambda: NOW)
    assert await refusal(subject, token) == "The keys of the token's issuer are not available."


def test_only_tokens_of_the_own_issuer_are_recognized(issuer):
    subject = oidc(issuer)
    assert subject.recognizes({"authorization": issuer.mint({}, now=0)})
    assert subject.recognizes({"authorization": "Bearer " + issuer.mint({}, now=0)})
    assert not subject.recognizes({"authorization": issuer.mint({"iss": "x"}, now=0)})
    assert not subject.recognizes({"authorization": "AWS4-HMAC-SHA256 Credential=x"})
    assert not subject.recognizes({"authorization": "custom-token"})
    assert not subject.recognizes({})


HEADER = {"alg": "RS256"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "..",
        "é.é.é",
        raw_token(HEADER, b"[]"),
        raw_token(HEADER, b"{"),
        raw_token(HEADER, b'{"exp":NaN}'),
        raw_token(HEADER, b"[" * 9000),
        raw_token(HEADER, b"\xff"),
        raw_token([], {}),
        raw_token({"alg": ["RS256"]}, {}),
        raw_token({"alg": "RS256", "crit": ["x"]}, {}),
        raw_token({"alg": "RS257"}, {}),
        raw_token(HEADER, {}) + "=",
        raw_token(HEADER, {}) + "x" * 20_000,
    ],
)
def test_what_is_no_token_is_refused(text):
    with pytest.raises(TokenError):
        decode_token(text)


async def test_a_refusal_quotes_nothing_of_the_token(issuer):
    token = issuer.mint({"sub": "private-name"}, now=NOW, lifetime=-1)
    message = await refusal(oidc(issuer), token)
    assert "private-name" not in message
    assert token.split(".")[2] not in message
