import math

import pytest

from relay.auth.api_key import ApiKey, ApiKeyAuthorizer
from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Operation

NOW = 1000.0
KEYS = (ApiKey("da2-old", expires=NOW), ApiKey("da2-new", expires=NOW + 1), ApiKey("short"))


def request(**credentials):
    return AccessRequest(Operation.CONNECT, credentials, "api", "host")


@pytest.fixture
def authorizer():
    return ApiKeyAuthorizer(KEYS, wall=lambda: NOW)


@pytest.mark.parametrize("key", ["da2-new", "short"])
async def test_a_known_key_opens_whatever_its_form(authorizer, key):
    identity = await authorizer.authorize(request(**{"x-api-key": key}))
    assert (identity.mode, identity.claims) == (AuthMode.API_KEY, None)


@pytest.mark.parametrize("key", ["da2-old", "da2-", "", "da2-new ", "DA2-NEW", "é", "\ud800"])
async def test_an_unknown_or_expired_key_is_denied_in_the_words_of_aws(authorizer, key):
    with pytest.raises(AccessDenied) as caught:
        await authorizer.authorize(request(**{"x-api-key": key}))
    denied = caught.value
    assert denied.error_type == "UnauthorizedException"
    assert denied.message == "You are not authorized to make this call."
    assert denied.error_code == 401


def test_it_recognizes_only_who_presents_a_key(authorizer):
    assert authorizer.recognizes({"x-api-key": ""})
    assert not authorizer.recognizes({"authorization": "x"})


def test_it_says_how_long_a_key_holds(authorizer):
    assert authorizer.valid_until({"x-api-key": "da2-new"}) == NOW + 1
    assert authorizer.valid_until({"x-api-key": "short"}) == math.inf
    assert authorizer.valid_until({"x-api-key": "unknown"}) == 0.0


def test_a_key_does_not_show_in_what_is_printed():
    assert "secret" not in repr(ApiKey("da2-secret"))
