from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from relay.auth import lambda_authorizer
from relay.auth.base import (
    AccessDenied,
    AccessRequest,
    AuthMode,
    GraphqlQuestion,
    Operation,
)
from relay.auth.lambda_authorizer import HttpFunction, LambdaAuthorizer

ALLOW = {"isAuthorized": True}


class Function:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: object = ALLOW):
        self.answer = answer
        self.asked: list[dict] = []

    async def __call__(self, payload: dict) -> object:
        self.asked.append(payload)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def request(
    operation=Operation.SUBSCRIBE, token="t-1", channel="/orders/*", api_id="a" * 26
) -> AccessRequest:
    is_connect = operation is Operation.CONNECT
    return AccessRequest(
        operation,
        {"authorization": token},
        api_id=api_id,
        host="h",
        channel=None if is_connect else channel,
        namespace=None if is_connect else "orders",
        headers={"user-agent": "test"},
    )


async def refuses(authorizer, asked=None) -> bool:
    with pytest.raises(AccessDenied) as caught:
        await authorizer.authorize(asked or request())
    return (caught.value.error_type, caught.value.error_code) == ("UnauthorizedException", 401)


async def test_the_function_is_told_what_is_asked():
    function = Function()
    subject = LambdaAuthorizer(function, new_request_id=lambda: "r-1")
    await subject.authorize(request())
    assert function.asked == [
        {
            "authorizationToken": "t-1",
            "requestContext": {
                "apiId": "a" * 26,
                "accountId": "000000000000",
                "requestId": "r-1",
                "operation": "EVENT_SUBSCRIBE",
                "channelNamespaceName": "orders",
                "channel": "/orders/*",
            },
            "requestHeaders": {"user-agent": "test"},
        }
    ]


async def test_a_connect_has_no_channel():
    function = Function()
    await LambdaAuthorizer(function).authorize(request(Operation.CONNECT))
    context = function.asked[0]["requestContext"]
    assert (context["operation"], context["channel"]) == ("EVENT_CONNECT", None)
    assert context["channelNamespaceName"] is None


def question(query="query Q { getChannel { name } }", name="Q", **variables) -> AccessRequest:
    asked = GraphqlQuestion(query, name, variables)
    return replace(request(Operation.CONNECT), graphql=asked)


async def test_of_graphql_the_function_is_told_the_question():
    function = Function()
    await LambdaAuthorizer(function, new_request_id=lambda: "r-1").authorize(question(a=1))
    assert function.asked[0]["requestContext"] == {
        "apiId": "a" * 26,
        "accountId": "000000000000",
        "requestId": "r-1",
        "queryString": "query Q { getChannel { name } }",
        "operationName": "Q",
        "variables": {"a": 1},
    }
    assert function.asked[0]["requestHeaders"] == {"user-agent": "test"}


async def test_a_yes_to_one_question_is_no_yes_to_another():
    function = Function(ALLOW | {"ttlOverride": 60})
    subject = LambdaAuthorizer(function)
    questions = [question(), question(a=1), question(a=2), question("{ x }"), question(name=None)]
    for each in (*questions, *questions, request(Operation.CONNECT)):
        await subject.authorize(each)
    assert len(function.asked) == len(questions) + 1


async def test_denied_fields_come_as_names_or_as_arns_of_this_api():
    arn = "arn:aws:appsync:us-east-1:000000000000:apis/{}/types/Channel/fields/{}"
    denied = ["Mutation.publish", arn.format("a" * 26, "data"), arn.format("b" * 26, "name")]
    answer = ALLOW | {"deniedFields": denied, "resolverContext": {"team": "blue"}}
    identity = await LambdaAuthorizer(Function(answer)).authorize(question())
    assert identity.denied_fields == {"Mutation.publish", "Channel.data"}
    assert identity.claims == {"resolverContext": {"team": "blue"}}


async def test_each_request_has_an_id_of_its_own():
    function = Function()
    subject = LambdaAuthorizer(function)
    await subject.authorize(request())
    await subject.authorize(request())
    first, second = (asked["requestContext"]["requestId"] for asked in function.asked)
    assert first != second


async def test_the_context_becomes_part_of_the_identity():
    answer = ALLOW | {"handlerContext": {"team": "blue", "level": 3, "is_admin": True}}
    identity = await LambdaAuthorizer(Function(answer)).authorize(request())
    assert identity.mode is AuthMode.LAMBDA
    assert identity.claims == {"handlerContext": {"team": "blue", "level": "3", "is_admin": "true"}}


@pytest.mark.parametrize(
    "answer",
    [
        {"isAuthorized": False},
        {},
        None,
        [],
        "yes",
        {"isAuthorized": "true"},
        {"isAuthorized": 1},
        ALLOW | {"handlerContext": []},
        ALLOW | {"handlerContext": {"a": {}}},
        ALLOW | {"handlerContext": {"a": []}},
        ALLOW | {"handlerContext": {"a": "x" * (5 * 1024 * 1024)}},
        ALLOW | {"ttlOverride": "5"},
        ALLOW | {"deniedFields": "Mutation.publish"},
        ALLOW | {"deniedFields": [1]},
        ALLOW | {"ttlOverride": True},
        RuntimeError("boom"),
        OSError("refused"),
        {"errorMessage": "boom", "errorType": "Error"},
    ],
)
async def test_everything_but_a_clear_yes_is_a_refusal(answer):
    assert await refuses(LambdaAuthorizer(Function(answer), ttl=300))


async def test_a_function_that_takes_too_long_is_a_refusal():
    async def never(payload):
        await asyncio.Event().wait()

    assert await refuses(LambdaAuthorizer(never, budget=0.0))


async def test_answers_are_not_remembered_by_default():
    function = Function()
    subject = LambdaAuthorizer(function)
    for _ in range(2):
        await subject.authorize(request())
    assert len(function.asked) == 2


async def test_an_answer_is_remembered_for_the_ttl_of_the_api():
    function, clock = Function(), Clock()
    subject = LambdaAuthorizer(function, ttl=60.0, clock=clock)
    await subject.authorize(request())
    clock.now += 59.9
    await subject.authorize(request())
    assert len(function.asked) == 1
    clock.now += 0.1
    await subject.authorize(request())
    assert len(function.asked) == 2


async def test_a_no_is_remembered_too_but_a_failure_is_not():
    function = Function({"isAuthorized": False})
    subject = LambdaAuthorizer(function, ttl=60.0, clock=Clock())
    for _ in range(2):
        assert await refuses(subject)
    assert len(function.asked) == 1
    function.answer = RuntimeError("boom")
    other = request(token="t-2")
    for _ in range(2):
        assert await refuses(subject, other)
    assert len(function.asked) == 3


async def test_the_answer_may_set_its_own_ttl():
    function, clock = Function(ALLOW | {"ttlOverride": 10}), Clock()
    subject = LambdaAuthorizer(function, ttl=60.0, clock=clock)
    await subject.authorize(request())
    clock.now += 10.0
    await subject.authorize(request())
    assert len(function.asked) == 2
    function.answer = ALLOW | {"ttlOverride": 0}
    clock.now += 10.0
    for _ in range(2):
        await subject.authorize(request())
    assert len(function.asked) == 4


async def test_a_ttl_of_more_than_an_hour_is_an_hour():
    function, clock = Function(ALLOW | {"ttlOverride": 1e9}), Clock()
    subject = LambdaAuthorizer(function, clock=clock)
    await subject.authorize(request())
    clock.now += 3600.0
    await subject.authorize(request())
    assert len(function.asked) == 2


@pytest.mark.parametrize(
    ("other", "asks_again"),
    [
        (request(), False),
        (request(channel="/orders/eu"), True),
        (request(token="t-2"), True),
        (request(Operation.PUBLISH), True),
        (request(Operation.CONNECT), True),
        (request(api_id="b" * 26), True),
    ],
)
async def test_what_is_remembered_is_api_operation_token_and_channel(other, asks_again):
    function = Function()
    subject = LambdaAuthorizer(function, ttl=60.0, clock=Clock())
    await subject.authorize(request())
    await subject.authorize(other)
    assert (len(function.asked) == 2) is asks_again


async def test_memory_is_bounded_and_forgets_what_was_not_used_longest(monkeypatch):
    monkeypatch.setattr(lambda_authorizer, "MAX_REMEMBERED", 2)
    function = Function()
    subject = LambdaAuthorizer(function, ttl=60.0, clock=Clock())
    for token in ("a", "b", "a", "c"):
        await subject.authorize(request(token=token))
    assert len(function.asked) == 3
    await subject.authorize(request(token="a"))
    assert len(function.asked) == 3
    await subject.authorize(request(token="b"))
    assert len(function.asked) == 4


async def test_memory_holds_no_token():
    subject = LambdaAuthorizer(Function(), ttl=60.0, clock=Clock())
    await subject.authorize(request(token="very-secret"))
    assert "very-secret" not in repr(vars(subject))


async def test_a_token_that_does_not_match_the_expression_is_refused_unasked():
    function = Function()
    subject = LambdaAuthorizer(function, expression=re.compile("custom-[a-z]+"))
    for token in ("other", "custom-", "custom-a1", "xcustom-a", ""):
        assert await refuses(subject, request(token=token))
    assert function.asked == []
    await subject.authorize(request(token="custom-a"))
    assert len(function.asked) == 1


def test_any_authorization_value_is_recognized():
    subject = LambdaAuthorizer(Function())
    assert subject.recognizes({"authorization": "anything"})
    assert not subject.recognizes({"authorization": ""})
    assert not subject.recognizes({"x-api-key": "k"})


async def test_a_function_at_an_address_gets_the_payload_and_answers_json():
    class Sender:
        sent = None

        async def post(self, url, payload):
            self.sent = (url, payload)
            return b'{"isAuthorized":true}'

    sender = Sender()
    subject = LambdaAuthorizer(HttpFunction("https://f.example/", fetcher=sender))
    await subject.authorize(request())
    assert sender.sent[0] == "https://f.example/"
    assert sender.sent[1]["authorizationToken"] == "t-1"
