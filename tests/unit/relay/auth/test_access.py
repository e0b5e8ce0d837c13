from dataclasses import dataclass

import pytest

from relay.auth.access import Access, Modes, decide_authorizer
from relay.auth.api_key import ApiKey, ApiKeyAuthorizer
from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Identity, Operation

KEY, IAM, LAMBDA = AuthMode.API_KEY, AuthMode.AWS_IAM, AuthMode.LAMBDA


@dataclass
class FakeAuthorizer:
    """Recognizes an ``authorization`` that begins with its word; denies what ends in ``no``."""

    mode: AuthMode
    word: str

    def recognizes(self, credentials):
        return credentials.get("authorization", "").startswith(self.word)

    async def authorize(self, request):
        if request.credentials["authorization"].endswith("no"):
            raise AccessDenied("because", error_type="BadRequestException", error_code=400)
        return Identity(self.mode, {"who": self.word})


AUTHORIZERS = (
    FakeAuthorizer(LAMBDA, ""),
    FakeAuthorizer(IAM, "AWS4"),
    ApiKeyAuthorizer((ApiKey("key"), ApiKey("brief", expires=50.0)), wall=lambda: 0.0),
)


def request(**credentials):
    return AccessRequest(Operation.PUBLISH, credentials, "api", "host")


@pytest.mark.parametrize(
    ("credentials", "mode"),
    [
        ({"x-api-key": "key"}, KEY),
        ({"authorization": "AWS4-HMAC"}, IAM),
        ({"authorization": "opaque"}, LAMBDA),
        ({"authorization": "AWS4-HMAC", "x-api-key": "key"}, KEY),
    ],
)
def test_the_credentials_choose_the_mode(credentials, mode):
    assert decide_authorizer(AUTHORIZERS, credentials).mode is mode


def test_nothing_that_is_configured_means_nobody():
    assert decide_authorizer((), {"x-api-key": "key"}) is None


async def test_an_allowed_mode_with_right_credentials_is_let_in():
    identity = await Access(AUTHORIZERS).decide(request(**{"x-api-key": "key"}), {KEY})
    assert identity.mode is KEY


@pytest.mark.parametrize("allowed", [frozenset(), frozenset({IAM}), frozenset({LAMBDA})])
async def test_right_credentials_of_a_mode_that_is_not_allowed_are_denied(allowed):
    with pytest.raises(AccessDenied) as caught:
        await Access(AUTHORIZERS).decide(request(**{"x-api-key": "key"}), allowed)
    assert caught.value.error_code == 403


async def test_whoever_presents_nothing_is_denied_without_a_message():
    access = Access((ApiKeyAuthorizer((ApiKey("key"),), wall=lambda: 0.0),))
    with pytest.raises(AccessDenied) as caught:
        await access.decide(request(), {KEY})
    assert (caught.value.message, caught.value.error_code) == (None, 401)
    with pytest.raises(AccessDenied) as caught:
        await access.decide(request(authorization="Bearer x"), {KEY})
    assert caught.value.message == "You are not authorized to make this call."


async def test_the_denial_of_a_mode_is_passed_on_as_it_is():
    with pytest.raises(AccessDenied) as caught:
        await Access(AUTHORIZERS).decide(request(authorization="AWS4 no"), {IAM})
    assert caught.value.error_type == "BadRequestException"


async def test_only_an_api_key_may_be_remembered_and_only_until_it_expires():
    access = Access(AUTHORIZERS)
    for credentials, until in (
        ({"x-api-key": "brief"}, 50.0),
        ({"x-api-key": "key"}, float("inf")),
        ({"authorization": "AWS4"}, 0.0),
        ({"authorization": "opaque"}, 0.0),
    ):
        identity = await access.decide(request(**credentials), {KEY, IAM, LAMBDA})
        assert access.holds_until(identity, credentials) == until


def test_each_operation_has_its_own_modes():
    modes = Modes(connect=frozenset({KEY}), publish=frozenset({IAM}), subscribe=frozenset({LAMBDA}))
    assert modes.of(Operation.CONNECT) == {KEY}
    assert modes.of(Operation.PUBLISH) == {IAM}
    assert modes.of(Operation.SUBSCRIBE) == {LAMBDA}
