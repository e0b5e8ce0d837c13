from __future__ import annotations

import json
from typing import Any

import pytest

from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.fallbacks.http import HttpFallback
from runtime_shim.fallbacks.sources import decide_source
from runtime_shim.runtime_api import Invocation

REST = {"resource": "/", "httpMethod": "GET", "requestContext": {"stage": "dev"}}
HTTP_API_V1 = {"version": "1.0", "httpMethod": "GET", "requestContext": {}}
HTTP_API_V2 = {"version": "2.0", "requestContext": {"http": {"method": "GET"}}}
FUNCTION_URL = {"version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "POST"}}}
ALB = {"httpMethod": "GET", "requestContext": {"elb": {"targetGroupArn": "arn"}}}
TARGET = {"host": "h", "port": 443, "address": "198.51.100.10"}


def invocation(event: Any) -> Invocation:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return Invocation("id", {}, body, received=0.0, deadline=100.0)


def failure(outcome: Outcome, phase: Phase = Phase.CONNECT) -> Failure:
    return Failure(Span(phase, 0.0, 3.0, outcome, "connect.tcp", 3.0, TARGET))


@pytest.mark.parametrize(
    ("event", "shape"),
    [
        (REST, "1.0"),
        (HTTP_API_V1, "1.0"),
        (HTTP_API_V2, "2.0"),
        (FUNCTION_URL, "2.0"),
        (ALB, "alb"),
        (REST | {"type": "REQUEST", "methodArn": "arn"}, None),
        (HTTP_API_V2 | {"type": "REQUEST", "routeArn": "arn"}, None),
        ({"requestContext": {"connectionId": "c", "routeKey": "$connect"}}, None),
        ({"Records": [{"eventSource": "aws:sqs"}]}, None),
        ({"requestContext": "GET", "httpMethod": "GET"}, None),
        ({}, None),
        ([], None),
        ("GET", None),
        (None, None),
    ],
)
def test_who_waits_for_a_response(event: Any, shape: str | None) -> None:
    source = decide_source(event)
    assert (source.value if source.is_http else None) == shape
    assert HttpFallback().applies(invocation(event), failure(Outcome.TIMEOUT)) is (
        shape is not None
    )


def test_an_event_that_is_not_json_wants_no_response() -> None:
    assert not HttpFallback().applies(invocation(b"\xff"), failure(Outcome.TIMEOUT))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.TIMEOUT, 504),
        (Outcome.NAME_TIMEOUT, 504),
        (Outcome.REFUSED, 502),
        (Outcome.HTTP_ERROR, 502),
        (Outcome.DENIED, 502),
    ],
)
async def test_the_status_is_an_integer_and_tells_waits_from_refusals(
    outcome: Outcome, status: int
) -> None:
    answer = await HttpFallback().answer(invocation(REST), failure(outcome))
    response = json.loads(answer.body)
    assert not answer.is_error
    assert response["statusCode"] == status
    assert type(response["statusCode"]) is int
    assert response["isBase64Encoded"] is False
    assert all(isinstance(value, str) for value in response["headers"].values())


async def test_the_body_says_what_happened_and_what_to_do() -> None:
    answer = await HttpFallback().answer(invocation(FUNCTION_URL), failure(Outcome.TIMEOUT))
    body = json.loads(json.loads(answer.body)["body"])
    assert body == {
        "error": "connect: no answer from 198.51.100.10:443 (h) in 3.0 s (limit connect.tcp 3.0 s)",
        "errorType": "LiveBridge.ConnectTimeout",
        "phase": "connect",
        "outcome": "timeout",
        "host": "h",
        "address": "198.51.100.10",
        "elapsed": 3.0,
        "budget": {"name": "connect.tcp", "seconds": 3.0},
        "hint": body["hint"],
    }
    assert "NAT gateway" in body["hint"]


async def test_a_load_balancer_gets_its_description() -> None:
    answer = await HttpFallback().answer(invocation(ALB), failure(Outcome.TIMEOUT))
    assert json.loads(answer.body)["statusDescription"] == "504 Gateway Timeout"


async def test_it_answers_nobody_who_does_not_wait() -> None:
    with pytest.raises(CannotAnswer):
        await HttpFallback().answer(invocation({}), failure(Outcome.TIMEOUT))
