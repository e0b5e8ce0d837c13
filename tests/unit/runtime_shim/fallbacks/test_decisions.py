"""Who applies to what, and what the strategies that ask again do with what they hear."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import pytest

from event_protocol.phases import Outcome, Phase, Span, Strategy
from runtime_shim.budgets import Budgets
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.errors import PhaseFailed
from runtime_shim.fallbacks.base import CannotAnswer, Failure, Fallback, NoAnswer
from runtime_shim.fallbacks.catalogue import build_fallbacks
from runtime_shim.fallbacks.chain import Chain
from runtime_shim.fallbacks.faithful import FaithfulFallback
from runtime_shim.fallbacks.retry import RetryFallback
from runtime_shim.fallbacks.route import RouteFallback
from runtime_shim.fallbacks.static import StaticFallback
from runtime_shim.routes import Proxy, Route
from runtime_shim.runtime_api import Answer, Invocation

BUDGETS = Budgets(publish_pause=0.0, publish_pause_max=0.0, dev_first=0.0)
ANSWER = Answer(b'"worker"')


def config(**changes: Any) -> ShimConfig:
    values: dict[str, Any] = {
        "runtime_api": "127.0.0.1:9001",
        "realtime": Endpoint("h.test"),
        "http_host": "api.test",
        "api_key": "da2-z",
        "ca": None,
        "app": "app",
        "stage": "dev",
        "namespace": "sst",
        "function_id": "fn",
        "worker_id": "w" * 32,
        "budgets": BUDGETS,
        "static": b"7",
    }
    return ShimConfig(**values | changes)


def invocation(event: Any = None, *, deadline: float = math.inf) -> Invocation:
    return Invocation("id", {}, json.dumps(event).encode(), received=0.0, deadline=deadline)


def span(phase: Phase, outcome: Outcome = Outcome.TIMEOUT, **detail: Any) -> Span:
    return Span(phase, 0.0, 1.0, outcome, detail=detail)


class ScriptedChannel:
    def __init__(self, *script: Answer | PhaseFailed) -> None:
        self.script = list(script)
        self.routes: list[Route | None] = []
        self.events: list[str] = []

    async def ask(self, *, route: Route | None = None) -> Answer:
        self.events.append("ask")
        self.routes.append(route)
        step = self.script.pop(0)
        if isinstance(step, PhaseFailed):
            raise step
        return step

    def cancel(self, span: Span) -> None:
        self.events.append(f"cancel {span.phase}")


def failed(phase: Phase, outcome: Outcome = Outcome.TIMEOUT, **options: Any) -> PhaseFailed:
    return PhaseFailed(span(phase, outcome), **options)


# --- retry ----------------------------------------------------------------------------------------


def retry(**changes: Any) -> RetryFallback:
    return RetryFallback(
        Budgets(publish_pause=0.0, publish_pause_max=0.0, **changes), rng=Random(1)
    )


@pytest.mark.parametrize(
    ("one", "applies"),
    [
        (span(Phase.PUBLISH), True),
        (span(Phase.PUBLISH, Outcome.REFUSED), True),
        (span(Phase.PUBLISH, Outcome.DENIED, error_type="InternalFailure"), True),
        (span(Phase.PUBLISH, Outcome.DENIED, error_type="UnauthorizedException"), False),
        (span(Phase.PUBLISH, Outcome.HTTP_ERROR, status=503), True),
        (span(Phase.PUBLISH, Outcome.HTTP_ERROR, status=429), True),
        (span(Phase.PUBLISH, Outcome.HTTP_ERROR, status=401), False),
        (span(Phase.CONNECT), False),
        (span(Phase.DELIVER), False),
    ],
)
def test_retry_is_for_a_publish_that_may_do_better(one: Span, applies: bool) -> None:
    channel = ScriptedChannel()
    assert retry().applies(invocation(), Failure(one, channel=channel)) is applies
    assert not retry().applies(invocation(), Failure(one, is_accepted=True, channel=channel))
    assert not retry().applies(invocation(), Failure(one))


async def test_retry_counts_the_first_try() -> None:
    channel = ScriptedChannel(*[failed(Phase.PUBLISH)] * 3)
    with pytest.raises(CannotAnswer, match="try 4 ended publish timeout"):
        await retry(publish_attempts=4).answer(
            invocation(), Failure(span(Phase.PUBLISH), channel=channel)
        )
    assert channel.script == []


async def test_retry_stops_where_the_developer_has_taken_the_event() -> None:
    channel = ScriptedChannel(failed(Phase.HANDLE, is_accepted=True), ANSWER)
    with pytest.raises(CannotAnswer) as caught:
        await retry().answer(invocation(), Failure(span(Phase.PUBLISH), channel=channel))
    assert caught.value.failure is not None
    assert caught.value.failure.is_accepted
    assert caught.value.failure.span.phase is Phase.HANDLE
    assert channel.script == [ANSWER]


async def test_retry_does_not_begin_what_it_has_no_time_for() -> None:
    channel = ScriptedChannel(ANSWER)
    with pytest.raises(CannotAnswer, match="no time"):
        await retry().answer(
            invocation(deadline=0.0), Failure(span(Phase.PUBLISH), channel=channel)
        )
    assert channel.script == [ANSWER]


# --- route ----------------------------------------------------------------------------------------

OTHER = Route(Endpoint("other.test"), "api.test")
PROXY = Proxy(Endpoint("p", 1))


def test_route_tries_hosts_then_the_other_family() -> None:
    one = RouteFallback(config(routes=(OTHER,)))
    failure = Failure(span(Phase.TLS, address="2001:db8::1"), channel=ScriptedChannel())
    assert [str(each) for each in one.candidates(failure)] == [
        "other.test:443",
        "h.test:443 over IPv4",
    ]


def test_route_tries_hosts_then_the_way_past_the_proxy() -> None:
    one = RouteFallback(config(routes=(OTHER,), proxy=PROXY))
    failure = Failure(span(Phase.CONNECT, address="10.0.8.10"), channel=ScriptedChannel())
    assert [str(each) for each in one.candidates(failure)] == ["other.test:443", "h.test:443"]


@pytest.mark.parametrize(
    ("phase", "applies"),
    [(Phase.RESOLVE, True), (Phase.UPGRADE, True), (Phase.PUBLISH, False), (Phase.HANDLE, False)],
)
def test_route_is_for_a_channel_that_cannot_be_opened(phase: Phase, applies: bool) -> None:
    one = RouteFallback(config(routes=(OTHER,)))
    assert one.applies(invocation(), Failure(span(phase), channel=ScriptedChannel())) is applies
    assert not RouteFallback(config()).applies(
        invocation(), Failure(span(phase), channel=ScriptedChannel())
    )


async def test_route_stops_where_the_channel_is_open_and_the_call_fails() -> None:
    lost = failed(Phase.HANDLE, Outcome.CLOSED, is_accepted=True)
    channel = ScriptedChannel(failed(Phase.CONNECT), lost, ANSWER)
    routes = tuple(Route(Endpoint(name), "h") for name in ("a", "b", "c"))
    with pytest.raises(
        CannotAnswer, match="a:443: connect timeout, b:443: handle closed"
    ) as caught:
        await RouteFallback(config(routes=routes)).answer(
            invocation(), Failure(span(Phase.CONNECT), channel=channel)
        )
    assert caught.value.failure is not None
    assert caught.value.failure.is_accepted
    assert channel.routes == list(routes[:2])


# --- faithful -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "pause"),
    [
        (span(Phase.PUBLISH, Outcome.HTTP_ERROR, status=401, clipped=True), 0.0),
        (span(Phase.PUBLISH), 0.0),
        (span(Phase.CONNECT, Outcome.REFUSED), 5.0),
        (span(Phase.HANDLE, Outcome.CLOSED), math.inf),
        (span(Phase.HANDLE, clipped=True), math.inf),
        (span(Phase.DELIVER, clipped=True), math.inf),
        (span(Phase.PUBLISH, clipped=True), math.inf),
    ],
)
async def test_faithful_loops_or_hangs_where_the_bridge_does(one: Span, pause: float) -> None:
    with pytest.raises(NoAnswer) as caught:
        await FaithfulFallback(config()).answer(invocation(), Failure(one))
    assert caught.value.pause == pause


@pytest.mark.parametrize(
    "one", [span(Phase.DELIVER), span(Phase.DELIVER, Outcome.CLOSED), span(Phase.HANDLE)]
)
async def test_faithful_says_the_bridges_sentence_with_a_string_for_a_status(one: Span) -> None:
    answer = await FaithfulFallback(config()).answer(invocation(), Failure(one))
    text = "sst dev is not running (worker: " + "w" * 32 + ")"
    assert answer.body.decode() == f'{{"body":"{text}","statusCode":"500"}}'
    assert not answer.is_error


# --- static and the rest --------------------------------------------------------------------------

REST = {"httpMethod": "GET", "requestContext": {}}
ALB = {"httpMethod": "GET", "requestContext": {"elb": {}}}


@pytest.mark.parametrize(
    ("payload", "event", "expected"),
    [
        (b"7", {}, 7),
        (b'{"statusCode":204}', REST, {"statusCode": 204}),
        (b'{"statusCode":204}', ALB, {"statusCode": 204, "isBase64Encoded": False}),
    ],
)
async def test_a_static_payload_is_given_as_it_is(
    payload: bytes, event: Any, expected: Any
) -> None:
    answer = await StaticFallback(payload).answer(invocation(event), Failure(span(Phase.TLS)))
    assert json.loads(answer.body) == expected


@pytest.mark.parametrize("payload", [b"7", b'{"statusCode":"204"}'])
async def test_a_payload_that_is_no_response_becomes_the_body_of_one(payload: bytes) -> None:
    answer = await StaticFallback(payload).answer(invocation(REST), Failure(span(Phase.TLS)))
    response = json.loads(answer.body)
    assert (response["statusCode"], response["body"]) == (200, payload.decode())


SQS = {"Records": [{"eventSource": "aws:sqs", "messageId": "m"}]}
AUTHORIZER = {"methodArn": "arn", "authorizationToken": "t"}


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (REST, {"http", "sst_text", "static", "error"}),
        (SQS, {"ok", "partial", "static", "error"}),
        ({"plain": 1}, {"ok", "sst_text", "static", "error"}),
        ({"detail-type": "t", "source": "s"}, {"ok", "static", "error"}),
        (AUTHORIZER, {"static", "error"}),
    ],
)
def test_each_strategy_leaves_alone_whom_it_cannot_serve(event: Any, names: set[str]) -> None:
    every = tuple(Strategy(n) for n in ("http", "ok", "partial", "sst_text", "static", "error"))
    built = build_fallbacks(config(fallbacks=every), rng=Random(1))
    failure = Failure(span(Phase.CONNECT))
    assert {f.strategy for f in built if f.applies(invocation(event), failure)} == names


def test_every_strategy_but_the_worker_can_be_built_under_its_name() -> None:
    every = tuple(each for each in Strategy if each is not Strategy.WORKER)
    built = build_fallbacks(config(fallbacks=every), rng=Random(1))
    assert tuple(each.strategy for each in built) == every


# --- the chain ------------------------------------------------------------------------------------


def built(*names: str) -> list[Fallback]:
    strategies = tuple(Strategy(name) for name in (*names, "error"))
    return build_fallbacks(config(fallbacks=strategies), rng=Random(1))


async def test_the_developer_is_told_to_stop_before_somebody_else_answers_and_once() -> None:
    channel = ScriptedChannel(failed(Phase.DELIVER), ANSWER)
    failure = Failure(span(Phase.PUBLISH), channel=channel)
    decision = await Chain(built("retry", "http")).answer(invocation(), failure)
    assert decision.strategy is Strategy.ERROR
    assert channel.events == ["ask", "cancel deliver"]
    assert "LiveBridge.DeliverTimeout" in decision.answer.body.decode()


async def test_who_brings_the_developers_own_answer_does_not_stop_it() -> None:
    channel = ScriptedChannel(ANSWER)
    failure = Failure(span(Phase.PUBLISH), channel=channel)
    decision = await Chain(built("retry")).answer(invocation(), failure)
    assert (decision.answer, channel.events) == (ANSWER, ["ask"])
