"""The guest's loop with a scripted Runtime API, link and call: one answer and one line each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from event_protocol.live import Feature, Hello
from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy, decode_record
from runtime_shim import channel as module
from runtime_shim.budgets import Budgets
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.errors import ConfigError, PhaseFailed, RuntimeApiLost
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.shim import Shim
from runtime_shim.timing import SpanLog


def config(**changes: Any) -> ShimConfig:
    values: dict[str, Any] = {
        "runtime_api": "127.0.0.1:9001",
        "realtime": Endpoint("h"),
        "http_host": "h",
        "api_key": "da2-z",
        "ca": None,
        "app": "app",
        "stage": "dev",
        "namespace": "sst",
        "function_id": "fn",
        "worker_id": "w" * 32,
        "fallbacks": (Strategy.ERROR,),
        "budgets": Budgets(answer_post=0.05),
    }
    return ShimConfig(**values | changes)


class FakeApi:
    def __init__(self) -> None:
        self.answers: list[tuple[str, Answer]] = []
        self.status: int | Exception = 202
        self.hangs = False
        self.is_closed = False

    async def next(self) -> Invocation:
        raise RuntimeApiLost("the end of the script")

    async def answer(self, invocation: Invocation, answer: Answer) -> int:
        self.answers.append((invocation.request_id, answer))
        if self.hangs:
            await asyncio.Event().wait()
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    def close(self) -> None:
        self.is_closed = True


class FakeLink:
    opened: list[FakeLink]
    failure: Span | None

    def __init__(self) -> None:
        self.is_open = True
        self.age = 0.0
        self.is_closed = False

    @classmethod
    async def open(cls, _: Any, *, spans: SpanLog, **__: Any) -> FakeLink:
        span = Span(Phase.RESOLVE, spans.now(), spans.now())
        spans.spans.append(span)
        if cls.failure is not None:
            spans.spans.append(cls.failure)
            raise PhaseFailed(cls.failure)
        cls.opened.append(cls())
        return cls.opened[-1]

    async def close(self) -> None:
        self.is_closed = True


class FakeCall:
    script: list[Answer | PhaseFailed]
    news: list[bool]
    introduced: int

    def __init__(self, link: FakeLink, _: Any, *, spans: SpanLog, **__: Any) -> None:
        self.link = link
        self.answered_at = spans.now()

    async def run_introduction(self) -> None:
        FakeCall.introduced += 1

    async def run(self, *, is_new: bool) -> Answer:
        self.news.append(is_new)
        step = self.script.pop(0)
        if isinstance(step, PhaseFailed):
            raise step
        return step


class Stage:
    def __init__(self, **changes: Any) -> None:
        self.api = FakeApi()
        self.lines: list[str] = []
        self.shim = Shim(config(**changes), api=self.api, write_line=self.lines.append)  # type: ignore[arg-type]
        self.count = 0

    async def serve(self, *script: Answer | PhaseFailed) -> InvocationRecord:
        FakeCall.script = list(script)
        self.count += 1
        await self.shim.serve(Invocation(f"req-{self.count}", {}, b"{}", 0.0, float("inf")))
        assert len(self.lines) == self.count
        record = decode_record(self.lines[-1])
        assert record is not None
        assert record.request_id == f"req-{self.count}"
        assert len(self.api.answers) == self.count
        return record


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeLink.opened, FakeLink.failure = [], None
    FakeCall.script, FakeCall.news, FakeCall.introduced = [], [], 0
    monkeypatch.setattr(module, "Link", FakeLink)
    monkeypatch.setattr(module, "Call", FakeCall)


def failed(phase: Phase, outcome: Outcome, *, is_accepted: bool = False) -> PhaseFailed:
    return PhaseFailed(Span(phase, 0.0, 1.0, outcome), is_accepted=is_accepted)


ANSWER = Answer(b'"worker"')


async def test_a_channel_that_works_is_opened_once() -> None:
    stage = Stage()
    first, second = await stage.serve(ANSWER), await stage.serve(ANSWER)
    assert (first.cold, second.cold) == (True, False)
    assert first.strategy is Strategy.WORKER
    assert first.note == ""
    assert FakeCall.news == [True, False]
    assert len(FakeLink.opened) == 1


@pytest.mark.parametrize("spoil", ["is_open", "age"])
async def test_a_channel_that_ended_or_is_old_is_replaced(spoil: str) -> None:
    stage = Stage()
    await stage.serve(ANSWER)
    setattr(FakeLink.opened[0], spoil, False if spoil == "is_open" else 240.0)
    record = await stage.serve(ANSWER)
    assert record.cold
    assert FakeLink.opened[0].is_closed
    assert len(FakeLink.opened) == 2


async def test_a_kept_channel_that_was_dead_is_opened_once_more() -> None:
    stage = Stage()
    await stage.serve(ANSWER)
    record = await stage.serve(failed(Phase.PUBLISH, Outcome.RESET), ANSWER)
    assert (record.strategy, record.cold) == (Strategy.WORKER, True)
    record = await stage.serve(
        failed(Phase.PUBLISH, Outcome.CLOSED), failed(Phase.PUBLISH, Outcome.CLOSED), ANSWER
    )
    assert record.strategy is Strategy.ERROR, "not a third time"


@pytest.mark.parametrize(
    "failure",
    [
        failed(Phase.PUBLISH, Outcome.TIMEOUT),
        failed(Phase.PUBLISH, Outcome.DENIED),
        failed(Phase.DELIVER, Outcome.CLOSED),
        failed(Phase.PUBLISH, Outcome.CLOSED, is_accepted=True),
    ],
)
async def test_what_may_have_reached_the_developer_is_not_sent_again(failure: PhaseFailed) -> None:
    stage = Stage()
    await stage.serve(ANSWER)
    record = await stage.serve(failure, ANSWER)
    assert record.strategy is Strategy.ERROR


async def test_a_new_channel_that_is_dead_is_not_tried_again() -> None:
    record = await Stage().serve(failed(Phase.PUBLISH, Outcome.CLOSED), ANSWER)
    assert record.strategy is Strategy.ERROR


async def test_an_environment_stays_new_until_the_developer_has_answered() -> None:
    stage = Stage()
    await stage.serve(failed(Phase.DELIVER, Outcome.TIMEOUT))
    await stage.serve(ANSWER)
    await stage.serve(ANSWER)
    assert FakeCall.news == [True, True, False]


@pytest.mark.parametrize(
    ("failure", "is_kept"),
    [
        (failed(Phase.DELIVER, Outcome.TIMEOUT), True),
        (failed(Phase.PUBLISH, Outcome.DENIED), True),
        (failed(Phase.PUBLISH, Outcome.TIMEOUT), False),
    ],
)
async def test_only_a_channel_that_swallows_is_given_up(
    failure: PhaseFailed, is_kept: bool
) -> None:
    await Stage().serve(failure)
    assert FakeLink.opened[0].is_closed is not is_kept


async def test_a_channel_that_cannot_be_opened_is_answered_by_the_chain() -> None:
    FakeLink.failure = Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT, "connect.tcp", 3.0)
    stage = Stage()
    record = await stage.serve()
    assert FakeLink.failure in record.spans
    assert record.spans[-1].phase is Phase.REPLY
    assert record.note.startswith("connect: no answer")
    assert "answered by error in 0.0" in record.note
    (_, answer) = stage.api.answers[0]
    assert json.loads(answer.body)["errorType"] == "LiveBridge.ConnectTimeout"


@pytest.mark.parametrize(
    ("set_up", "outcome"),
    [
        (lambda api: None, Outcome.OK),
        (lambda api: setattr(api, "status", 413), Outcome.HTTP_ERROR),
        (lambda api: setattr(api, "status", 400), Outcome.CANCELLED),
        (lambda api: setattr(api, "status", 403), Outcome.CANCELLED),
        (lambda api: setattr(api, "hangs", True), Outcome.TIMEOUT),
    ],
)
async def test_how_the_answer_was_taken_is_in_the_record(
    set_up: Callable[[FakeApi], None], outcome: Outcome
) -> None:
    stage = Stage()
    set_up(stage.api)
    record = await stage.serve(ANSWER)
    assert record.spans[-1].phase is Phase.REPLY
    assert record.spans[-1].outcome is outcome
    assert stage.api.is_closed is (outcome is Outcome.TIMEOUT)


async def test_an_answer_that_nobody_takes_is_recorded_before_the_end() -> None:
    stage = Stage()
    stage.api.status = RuntimeApiLost("gone")
    with pytest.raises(RuntimeApiLost):
        await stage.serve(ANSWER)
    record = decode_record(stage.lines[0])
    assert record is not None
    assert record.spans[-1].outcome is Outcome.CLOSED


async def test_the_end_closes_everything() -> None:
    stage = Stage()
    await stage.serve(ANSWER)
    with pytest.raises(RuntimeApiLost):
        await stage.shim.run()
    assert FakeLink.opened[0].is_closed
    assert stage.api.is_closed


def test_an_authority_that_is_no_certificate_is_a_mistake_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="NATLESS_CA"):
        Stage(ca=tmp_path / "ca.pem")


# --- a channel that is lost in the middle of an invocation ----------------------------------------


def knows_repeats(stage: Stage) -> None:
    stage.shim._channel.agreement.features = frozenset({Feature.REPEAT})


@pytest.mark.parametrize("phase", [Phase.PUBLISH, Phase.DELIVER, Phase.HANDLE])
@pytest.mark.parametrize("outcome", [Outcome.CLOSED, Outcome.RESET])
async def test_a_channel_that_is_lost_is_opened_again_for_who_knows_repeats(
    phase: Phase, outcome: Outcome
) -> None:
    stage = Stage()
    knows_repeats(stage)
    record = await stage.serve(failed(phase, outcome, is_accepted=True), ANSWER)
    assert record.strategy is Strategy.WORKER
    assert len(FakeLink.opened) == 2


async def test_it_is_opened_again_and_again_for_as_long_as_the_budget_says() -> None:
    losses = [failed(Phase.HANDLE, Outcome.CLOSED, is_accepted=True) for _ in range(3)]
    fast = Budgets(answer_post=0.05, reconnect_first=0.001, reconnect_max=0.001)
    stage = Stage(budgets=fast)
    knows_repeats(stage)
    assert (await stage.serve(*losses, ANSWER)).strategy is Strategy.WORKER
    hasty = Stage(budgets=replace(fast, reconnect_total=0.0))
    knows_repeats(hasty)
    assert (await hasty.serve(*losses, ANSWER)).strategy is Strategy.ERROR


async def test_who_is_answered_by_somebody_else_stays_accepted_through_a_new_channel() -> None:
    stage = Stage(
        fallbacks=(Strategy.DEPLOYED, Strategy.ERROR),
        deployed_command=("/nowhere",),
        budgets=Budgets(answer_post=0.05, reconnect_first=0.001, reconnect_total=0.02),
    )
    knows_repeats(stage)
    losses = [failed(Phase.DELIVER, Outcome.CLOSED) for _ in range(200)]
    losses[0] = failed(Phase.HANDLE, Outcome.CLOSED, is_accepted=True)
    record = await stage.serve(*losses)
    assert "deployed" not in record.note, "it may be half done over there"


@pytest.mark.parametrize(
    "failure",
    [
        failed(Phase.HANDLE, Outcome.TIMEOUT, is_accepted=True),
        failed(Phase.PUBLISH, Outcome.DENIED),
    ],
)
async def test_what_another_channel_would_not_change_is_not_tried_on_one(
    failure: PhaseFailed,
) -> None:
    stage = Stage()
    knows_repeats(stage)
    assert (await stage.serve(failure, ANSWER)).strategy is Strategy.ERROR
    assert len(FakeLink.opened) == 1


# --- ahead of the first event ---------------------------------------------------------------------


async def begin(stage: Stage) -> None:
    with pytest.raises(RuntimeApiLost):  # the scripted Runtime API has no event
        await stage.shim.run()


async def test_the_channel_is_opened_ahead_of_the_first_event() -> None:
    await begin(Stage())
    assert (len(FakeLink.opened), FakeCall.introduced) == (1, 1)


async def test_a_share_of_nothing_opens_it_with_the_event() -> None:
    await begin(Stage(budgets=Budgets(init_share=0.0)))
    assert FakeLink.opened == []


@pytest.mark.parametrize(("seconds", "opens"), [(0.5, 1), (60.0, 2)])
async def test_an_early_failure_is_news_for_a_while(
    monkeypatch: pytest.MonkeyPatch, seconds: float, opens: int
) -> None:
    tries: list[None] = []
    FakeLink.failure = Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT, "connect.tcp", 3.0)

    async def count(_: Any, **options: Any) -> FakeLink:
        tries.append(None)
        return await FakeLink.open(_, **options)

    class Counting(FakeLink):
        open = staticmethod(count)  # type: ignore[assignment]

    monkeypatch.setattr(module, "Link", Counting)
    stage = Stage()
    await begin(stage)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    record = await stage.serve()
    assert len(tries) == opens
    assert record.strategy is Strategy.ERROR


# --- what the developers' sides say of themselves -------------------------------------------------


async def test_two_developers_on_one_stage_are_told_in_the_record() -> None:
    stage = Stage()
    assert (await stage.serve(ANSWER)).note == ""
    for name in ("a", "b"):
        stage.shim._channel.agreement.take(Hello(frozenset(), name))
    assert (await stage.serve(ANSWER)).note == (
        "2 developers' sides share this stage, and each answers"
    )
