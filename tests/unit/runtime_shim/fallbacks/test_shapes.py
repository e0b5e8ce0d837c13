"""Every strategy before every kind of caller: what it answers is what that caller accepts.

Shapes: AWS developer guides, "Lambda proxy integrations" (API Gateway REST and HTTP), "Lambda
function URLs", "Lambda functions as targets" (load balancer), and "Implementing partial batch
responses" (SQS, Kinesis, DynamoDB streams).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from event_protocol.phases import Outcome, Phase, Span, Strategy
from runtime_shim.budgets import Budgets
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.fallbacks.base import Failure
from runtime_shim.fallbacks.catalogue import build_fallbacks
from runtime_shim.fallbacks.chain import Chain
from runtime_shim.runtime_api import Answer, Invocation

# --- who calls, and what it takes -----------------------------------------------------------------


def text(value: Any) -> bool:
    return isinstance(value, str)


def http_response(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and type(answer.get("statusCode")) is int  # a string becomes API Gateway's own 502
        and 100 <= answer["statusCode"] <= 599
        and text(answer.get("body"))
        and all(text(k) and text(v) for k, v in answer.get("headers", {}).items())
        and type(answer.get("isBase64Encoded", False)) is bool
    )


def alb_response(answer: Any) -> bool:
    headers = answer.get("multiValueHeaders", {}) if isinstance(answer, dict) else {}
    return (
        http_response(answer)
        and type(answer.get("isBase64Encoded")) is bool  # needed here
        and all(isinstance(values, list) and all(map(text, values)) for values in headers.values())
    )


def batch_response(*ids: str) -> Callable[[Any], bool]:
    """All is done, or these are to be delivered again; ids that nobody sent are an error."""

    def accepts(answer: Any) -> bool:
        if answer is None:
            return True
        if not isinstance(answer, dict):
            return False
        failures = answer.get("batchItemFailures") or []
        named = [each["itemIdentifier"] for each in failures]
        return set(named) <= set(ids) and len(named) == len(set(named))

    return accepts


def anything(_: Any) -> bool:
    return True


REST = {
    "version": "1.0",
    "httpMethod": "GET",
    "path": "/",
    "requestContext": {"stage": "dev", "requestId": "r"},
}
HTTP_API = {"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/"}}}
URL = {
    "version": "2.0",
    "requestContext": {"domainName": "x.lambda-url.aws", "http": {"method": "POST", "path": "/"}},
}
ALB = {"httpMethod": "GET", "path": "/", "requestContext": {"elb": {"targetGroupArn": "arn"}}}
SQS = {"Records": [{"eventSource": "aws:sqs", "messageId": name} for name in ("m-1", "m-2")]}
KINESIS = {
    "Records": [{"eventSource": "aws:kinesis", "kinesis": {"sequenceNumber": n}} for n in "12"]
}
DYNAMODB = {
    "Records": [{"eventSource": "aws:dynamodb", "dynamodb": {"SequenceNumber": n}} for n in "34"]
}
NOTICE = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "m"}}]}
PLAIN = {"name": "world"}
CALLERS: dict[str, tuple[Any, Callable[[Any], bool]]] = {
    "API Gateway v1": (REST, http_response),
    "API Gateway v2": (HTTP_API, http_response),
    "function URL": (URL, http_response),
    "load balancer": (ALB, alb_response),
    "SQS": (SQS, batch_response("m-1", "m-2")),
    "Kinesis": (KINESIS, batch_response("1", "2")),
    "DynamoDB": (DYNAMODB, batch_response("3", "4")),
    "SNS": (NOTICE, anything),
    "Invoke": (PLAIN, anything),
}

# --- who answers, and whom it leaves to the next --------------------------------------------------

HTTP_CALLERS = {"API Gateway v1", "API Gateway v2", "function URL", "load balancer"}
BATCHES = {"SQS", "Kinesis", "DynamoDB"}
EVERYBODY = set(CALLERS)
OWN_SHAPES = {
    Strategy.ERROR: EVERYBODY,
    Strategy.HTTP: HTTP_CALLERS,
    Strategy.STATIC: EVERYBODY,
    Strategy.OK: EVERYBODY - HTTP_CALLERS,
    Strategy.PARTIAL: BATCHES,
    Strategy.SST_TEXT: HTTP_CALLERS | {"Invoke"},
}
"""Strategies that make an answer up, and for whom."""
THE_HANDLERS = {Strategy.DEPLOYED, Strategy.OBSERVE}  # see tests/shell/test_shim_fallbacks.py
THE_DEVELOPERS = {Strategy.RETRY, Strategy.ROUTE, Strategy.POLL}
IMITATED = {Strategy.FAITHFUL}  # SST's own mistake is its point: a string for a status
FAILED = [
    Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT, "connect.tcp", 3.0),
    Span(Phase.PUBLISH, 0.0, 1.0, Outcome.HTTP_ERROR, detail={"status": 500, "message": 'a "b"\n'}),
    Span(Phase.DELIVER, 0.0, 5.0, Outcome.TIMEOUT, "dev.known", 5.0),
    Span(Phase.HANDLE, 0.0, 9.0, Outcome.CLOSED),
]


def config(tmp_path: Path, *strategies: Strategy, **changes: Any) -> ShimConfig:
    return ShimConfig(
        runtime_api="127.0.0.1:9001",
        realtime=Endpoint("h.test"),
        http_host="api.test",
        api_key="da2-z",
        ca=None,
        app="app",
        stage="dev",
        namespace="sst",
        function_id="fn",
        worker_id="w" * 32,
        fallbacks=strategies,
        budgets=Budgets(dev_first=0.0),
        spool=tmp_path / "spool",
        **{"static": b'{"a": 1}'} | changes,
    )


def invocation(event: Any, *, deadline: float = math.inf) -> Invocation:
    return Invocation("id", {}, json.dumps(event).encode(), received=0.0, deadline=deadline)


def accepted(answer: Answer, takes: Callable[[Any], bool]) -> bool:
    """An error of the function is one to every caller: a 502, or another delivery."""
    said = json.loads(answer.body)
    if answer.is_error:
        return text(said["errorType"]) and text(said["errorMessage"])
    return takes(said)


class Developer:
    """Answers what it is asked again."""

    async def ask(self, **_: Any) -> Answer:
        return Answer(b'"the developer"')

    def cancel(self, span: Span) -> None:
        pass


def test_every_strategy_stands_in_the_table() -> None:
    known = {*OWN_SHAPES, *THE_HANDLERS, *THE_DEVELOPERS, *IMITATED, Strategy.WORKER}
    assert known == {*Strategy}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("strategy", OWN_SHAPES, ids=str)
@pytest.mark.parametrize("span", FAILED, ids=lambda span: span.phase)
async def test_what_a_strategy_makes_up_is_what_its_caller_accepts(
    tmp_path: Path, caller: str, strategy: Strategy, span: Span
) -> None:
    event, takes = CALLERS[caller]
    (fallback,) = build_fallbacks(config(tmp_path, strategy), rng=Random(1))
    applies = fallback.applies(invocation(event), Failure(span))
    assert applies is (caller in OWN_SHAPES[strategy])
    if applies:
        answer = await fallback.answer(invocation(event), Failure(span))
        assert accepted(answer, takes), answer.body


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    "static",
    [b"7", b"null", b'"x"', b"[]", b'{"a":1}', b'{"statusCode":201,"body":"x"}'],
    ids=bytes.decode,
)
async def test_any_payload_that_is_configured_reaches_an_http_caller_as_a_response(
    tmp_path: Path, caller: str, static: bytes
) -> None:
    event, takes = CALLERS[caller]
    (fallback,) = build_fallbacks(config(tmp_path, Strategy.STATIC, static=static), rng=Random(1))
    answer = await fallback.answer(invocation(event), Failure(FAILED[0]))
    if caller in HTTP_CALLERS:
        assert accepted(answer, takes), answer.body
    else:
        assert json.loads(answer.body) == json.loads(static), "as it was configured"


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("span", FAILED, ids=lambda span: span.phase)
@pytest.mark.parametrize(
    "names",
    [
        ("http", "error"),
        ("ok", "http", "error"),
        ("partial", "http", "error"),
        ("partial", "ok", "sst_text", "error"),
        ("retry", "route", "poll", "http", "error"),
        ("static", "error"),
        ("error",),
    ],
    ids=",".join,
)
async def test_a_list_of_strategies_always_ends_in_an_answer_that_is_accepted(
    tmp_path: Path, caller: str, span: Span, names: tuple[str, ...]
) -> None:
    event, takes = CALLERS[caller]
    chain = Chain(build_fallbacks(config(tmp_path, *map(Strategy, names)), rng=Random(1)))
    decision = await chain.answer(invocation(event), Failure(span))
    assert accepted(decision.answer, takes), decision.answer.body


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("strategy", sorted(THE_DEVELOPERS), ids=str)
async def test_who_asks_again_brings_the_developers_answer_as_it_is(
    tmp_path: Path, caller: str, strategy: Strategy
) -> None:
    event, _ = CALLERS[caller]
    (fallback,) = build_fallbacks(
        config(tmp_path, strategy, routes=(config(tmp_path).route,)), rng=Random(1)
    )
    span = FAILED[1] if strategy is Strategy.RETRY else FAILED[0]
    failure = Failure(span, channel=Developer())  # type: ignore[arg-type]
    assert fallback.applies(invocation(event), failure)
    answer = await fallback.answer(invocation(event), failure)
    assert answer.body == b'"the developer"'
