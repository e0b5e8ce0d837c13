from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest

from event_protocol.frames import Accepted, PublishError, PublishSuccess, Rejected, WireError
from event_protocol.live import (
    FEATURES,
    Beat,
    Feature,
    MessageCode,
    Packet,
    decode_init,
    decode_next,
    decode_packet,
    split,
)
from event_protocol.live import (
    Accepted as Taken,
)
from event_protocol.phases import Outcome, Phase
from runtime_shim.budgets import Allowance, Budgets
from runtime_shim.call import Call
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.mailbox import Agreement
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.timing import SpanLog

CONFIRM = "confirm"  # stands for the success of the latest publish
CLOSED = Obstacle(Outcome.CLOSED, code=1000)
CONFIG = ShimConfig(
    runtime_api="127.0.0.1:9001",
    realtime=Endpoint("h"),
    http_host="h",
    api_key="da2-z",
    ca=None,
    app="app",
    stage="dev",
    namespace="sst",
    function_id="fn",
    worker_id="w" * 32,
    environment={"TABLE": "t", "_HANDLER": "app.handler", "AWS_LAMBDA_MAX_CONCURRENCY": "4"},
)


class ScriptedLink:
    """Gives out what a test scripted; a wait beyond the script runs out."""

    def __init__(self, script: Iterable[Any]) -> None:
        self.script = list(script)
        self.published: list[Packet] = []
        self.wants_init = False
        self.target = CONFIG.realtime
        self.agreement = Agreement()
        self.is_listening = False
        self.waits: list[float] = []
        self.proof: Exception | None = None  # what becomes of a probe
        self.proofs = 0

    async def prove(self, seconds: float) -> None:
        assert seconds > 0
        self.proofs += 1
        if self.proof is not None:
            raise self.proof

    def listen(self) -> None:
        self.is_listening = True

    def ignore(self) -> None:
        self.is_listening = False

    def publish(self, event: str) -> str:
        self.published.append(decode_packet(event))
        return f"p-{len(self.published)}"

    async def next_happening(self, seconds: float) -> Any:
        assert self.is_listening
        self.waits.append(seconds)
        if not self.script:
            raise TimeoutError
        happening = self.script.pop(0)
        operation = f"p-{len(self.published)}"
        if happening == CONFIRM:
            return PublishSuccess(operation, (Accepted("e", 0),))
        if isinstance(happening, Packet) and happening.type == MessageCode.REBOOT:
            self.wants_init = True  # as the mailbox does
        return happening(operation) if callable(happening) else happening


def say(code: int, body: bytes = b"{}\n", id_: str = "x") -> Packet:
    (packet,) = split(code, source="dev", id=id_, body=body)
    return packet


def call(
    link: ScriptedLink, *, body: bytes = b"{}", budgets: Budgets | None = None
) -> tuple[Call, SpanLog]:
    ticks = itertools.count(1000.0, 0.001)
    spans = SpanLog(now=lambda: next(ticks))
    headers = {"Lambda-Runtime-Aws-Request-Id": "req"}
    invocation = Invocation("req", headers, body, received=1000.0, deadline=1020.0)
    return Call(
        link,  # type: ignore[arg-type]
        CONFIG,
        invocation=invocation,
        allowance=Allowance(budgets or Budgets(), invocation.deadline),
        spans=spans,
    ), spans


async def answer(*script: Any, is_new: bool = False, **options: Any) -> tuple[Answer, ScriptedLink]:
    link = ScriptedLink(script)
    one, _ = call(link, **options)
    return await one.run(is_new=is_new), link


async def failure(*script: Any, is_new: bool = False, **options: Any) -> PhaseFailed:
    link = ScriptedLink(script)
    one, spans = call(link, **options)
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=is_new)
    assert spans.spans[-1] is caught.value.span
    assert not link.is_listening
    return caught.value


PING, RESPONSE = say(MessageCode.PING), say(MessageCode.RESPONSE, b'"ok"', "req")


async def test_ping_and_response_are_enough() -> None:
    got, link = await answer(CONFIRM, PING, RESPONSE)
    assert (got.body, got.is_error) == (b'"ok"', False)
    (packet,) = link.published
    assert (packet.type, packet.source) == (MessageCode.NEXT, "w" * 32)
    assert decode_next(packet.data).headers["lambda-runtime-aws-request-id"] == "req"


async def test_the_phases_follow_each_other() -> None:
    one, spans = call(ScriptedLink([CONFIRM, PING, RESPONSE]))
    await one.run(is_new=False)
    publish, deliver, handle = spans.spans
    assert [span.phase for span in spans.spans] == [Phase.PUBLISH, Phase.DELIVER, Phase.HANDLE]
    assert publish.finished == deliver.started
    assert deliver.finished == handle.started
    assert handle.finished == one.answered_at
    assert handle.detail["bytes"] == 4


async def test_a_first_word_before_the_confirmation_is_one() -> None:
    one, spans = call(ScriptedLink([PING, CONFIRM, RESPONSE]))
    assert (await one.run(is_new=False)).body == b'"ok"'
    assert all(span.duration >= 0 for span in spans.spans)


async def test_a_response_without_a_ping_is_an_answer() -> None:
    got, _ = await answer(CONFIRM, RESPONSE)
    assert got.body == b'"ok"'


async def test_a_new_environment_introduces_itself_first() -> None:
    _, link = await answer(CONFIRM, CONFIRM, PING, RESPONSE, is_new=True)
    init, event = link.published
    assert (init.type, event.type) == (MessageCode.INIT, MessageCode.NEXT)
    assert init.id != event.id
    assert decode_init(init.data).environment == {"TABLE": "t"}


@pytest.mark.parametrize("place", [1, 2])
async def test_a_reboot_is_answered_once_wherever_it_comes(place: int) -> None:
    script: list[Any] = [CONFIRM, PING]
    script[place:place] = [say(MessageCode.REBOOT), CONFIRM]
    _, link = await answer(*script, RESPONSE)
    assert [packet.type for packet in link.published] == [MessageCode.NEXT, MessageCode.INIT]


async def test_a_reboot_before_the_confirmation_is_not_forgotten() -> None:
    _, link = await answer(say(MessageCode.REBOOT), CONFIRM, CONFIRM, PING, RESPONSE)
    assert [packet.type for packet in link.published] == [MessageCode.NEXT, MessageCode.INIT]


async def test_a_large_event_is_published_packet_by_packet() -> None:
    _, link = await answer(CONFIRM, CONFIRM, CONFIRM, PING, RESPONSE, body=b"x" * 300_000)
    assert [packet.index for packet in link.published] == [0, 1, 2]
    assert len({packet.id for packet in link.published}) == 1


async def test_the_first_answer_stands_even_if_more_come_while_we_still_publish() -> None:
    second = say(MessageCode.ERROR, b'"second"', "req")
    got, link = await answer(RESPONSE, second, CONFIRM, CONFIRM, body=b"x" * 300_000)
    assert (got.body, got.is_error) == (b'"ok"', False)
    assert [packet.index for packet in link.published] == [0, 1, 2]


async def test_an_init_that_was_asked_for_is_refused_as_any_publish_is() -> None:
    errors = (WireError("UnauthorizedException", "no"),)
    failed = await failure(
        CONFIRM,
        PING,
        say(MessageCode.REBOOT),
        say(MessageCode.BEAT, id_="b"),
        lambda operation: PublishError(operation, errors),
    )
    assert (failed.phase, failed.span.outcome) == (Phase.PUBLISH, Outcome.DENIED)
    assert failed.is_accepted


@pytest.mark.parametrize("code", [MessageCode.ERROR, MessageCode.INIT_ERROR])
async def test_an_error_is_an_answer(code: MessageCode) -> None:
    body = json.dumps({"errorType": "E\n" * 2, "errorMessage": "m"}).encode()
    got, _ = await answer(CONFIRM, PING, say(code, body, "req"))
    assert (got.is_error, got.body) == (True, body)
    assert got.error_type == "E\n" * 2


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"errorType": 7}', b"\xff"])
async def test_an_error_without_a_type_is_an_error_all_the_same(body: bytes) -> None:
    got, _ = await answer(CONFIRM, say(MessageCode.ERROR, body, "req"))
    assert (got.is_error, got.body, got.error_type) == (True, body, "")


async def test_messages_of_other_requests_and_unknown_codes_are_dropped() -> None:
    others = [
        say(MessageCode.RESPONSE, b'"other"', "other"),
        say(MessageCode.ERROR, b"{}", "other"),
        say(MessageCode.HELLO, id_="h"),
        say(77, id_="u"),
    ]
    got, _ = await answer(CONFIRM, *others, PING, RESPONSE)
    assert got.body == b'"ok"'


async def test_other_messages_are_no_first_word() -> None:
    failed = await failure(CONFIRM, say(MessageCode.RESPONSE, b"1", "other"), say(77, id_="u"))
    assert (failed.phase, failed.span.outcome) == (Phase.DELIVER, Outcome.TIMEOUT)
    assert not failed.is_accepted


def broken(id_: str) -> list[Packet]:
    """Two final packets of one message."""
    return [Packet(MessageCode.RESPONSE, "dev", id_, index, b"1", final=True) for index in (1, 2)]


async def test_an_answer_that_contradicts_itself_is_answered_as_an_error_at_once() -> None:
    got, _ = await answer(CONFIRM, PING, *broken("req"))
    assert got.is_error
    assert got.error_type == "LiveBridge.AnswerUnreadable"


async def test_a_message_to_others_that_contradicts_itself_is_dropped() -> None:
    got, _ = await answer(CONFIRM, PING, *broken("another"), RESPONSE)
    assert got.body == b'"ok"'


@pytest.mark.parametrize(
    ("script", "phase", "outcome", "budget", "is_accepted"),
    [
        ([], Phase.PUBLISH, Outcome.TIMEOUT, "publish.answer", False),
        ([CLOSED], Phase.PUBLISH, Outcome.CLOSED, "publish.answer", False),
        ([CONFIRM], Phase.DELIVER, Outcome.TIMEOUT, "dev.first", False),
        ([CONFIRM, CLOSED], Phase.DELIVER, Outcome.CLOSED, "dev.first", False),
        ([CONFIRM, PING], Phase.HANDLE, Outcome.TIMEOUT, "dev.total", True),
        ([CONFIRM, PING, CLOSED], Phase.HANDLE, Outcome.CLOSED, "dev.total", True),
        ([PING], Phase.HANDLE, Outcome.TIMEOUT, "dev.total", True),
    ],
)
async def test_where_it_stops_is_where_it_failed(
    script: list[Any], phase: Phase, outcome: Outcome, budget: str, is_accepted: bool
) -> None:
    failed = await failure(*script)
    assert (failed.phase, failed.span.outcome) == (phase, outcome)
    assert failed.span.budget == budget
    assert failed.is_accepted is is_accepted
    assert failed.span.detail["host"] == "h"


async def test_an_answer_that_has_begun_may_not_pause_longer_than_a_gap() -> None:
    link = ScriptedLink(
        [CONFIRM, PING, Packet(MessageCode.RESPONSE, "dev", "req", 0, b"1", final=False)]
    )
    one, _ = call(link, budgets=Budgets(chunk_gap=0.25))
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=False)
    assert caught.value.span.budget == "chunk.gap"
    assert link.waits[-1] <= 0.25


async def test_a_refused_publish_says_why_and_is_not_repeated() -> None:
    errors = (WireError("UnauthorizedException", "no"),)
    link = ScriptedLink([lambda operation: PublishError(operation, errors), CONFIRM])
    one, _ = call(link)
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=False)
    assert caught.value.span.outcome is Outcome.DENIED
    assert caught.value.span.detail["error_type"] == "UnauthorizedException"
    assert len(link.published) == 1


async def test_an_event_that_the_channel_rejects_is_denied() -> None:
    rejected = (Rejected("e", 0, "EventTooLargeException", "too large"),)
    failed = await failure(lambda operation: PublishSuccess(operation, (), rejected))
    assert failed.span.outcome is Outcome.DENIED
    assert failed.span.detail["error_type"] == "EventTooLargeException"


async def test_the_result_of_another_publish_is_none() -> None:
    errors = (WireError("UnauthorizedException", "no"),)
    got, _ = await answer(PublishError("late", errors), CONFIRM, PING, RESPONSE)
    assert got.body == b'"ok"'


async def test_a_rate_limit_is_tried_again_until_the_tries_are_spent() -> None:
    errors = (WireError("LimitExceededError", "slow down"),)

    def limit(operation: str) -> PublishError:
        return PublishError(operation, errors)

    budgets = Budgets(publish_attempts=3, publish_pause=0.0)
    got, link = await answer(limit, limit, CONFIRM, PING, RESPONSE, budgets=budgets)
    assert got.body == b'"ok"'
    assert [packet.index for packet in link.published] == [0, 0, 0]
    failed = await failure(limit, limit, limit, CONFIRM, budgets=budgets)
    assert failed.span.outcome is Outcome.DENIED
    assert failed.span.detail["attempt"] == 3


# --- what both sides have announced ---------------------------------------------------------------

ACCEPTED = say(MessageCode.ACCEPTED, Taken("req").encode(), "a")
BEAT = say(MessageCode.BEAT, Beat("req").encode(), "b")
DEBUGGING = say(MessageCode.BEAT, Beat("req", is_debugging=True).encode(), "d")


def silence(_: str) -> Any:
    raise TimeoutError


def agreed(*script: Any, **options: Any) -> tuple[Call, SpanLog, ScriptedLink]:
    link = ScriptedLink(script)
    link.agreement.features = frozenset(FEATURES)
    return *call(link, **options), link


async def test_that_this_request_was_accepted_is_a_first_word() -> None:
    one, spans, _ = agreed(CONFIRM, ACCEPTED, RESPONSE)
    assert (await one.run(is_new=False)).body == b'"ok"'
    assert [span.phase for span in spans.spans] == [Phase.PUBLISH, Phase.DELIVER, Phase.HANDLE]


@pytest.mark.parametrize(
    "word",
    [
        say(MessageCode.ACCEPTED, Taken("another").encode()),
        say(MessageCode.BEAT, Beat("another").encode()),
        say(MessageCode.ACCEPTED, b"no json"),
    ],
)
async def test_a_word_about_another_request_is_none(word: Packet) -> None:
    one, _, link = agreed(CONFIRM, word)
    link.agreement.features -= {Feature.REPEAT}
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=False)
    assert (caught.value.phase, caught.value.is_accepted) == (Phase.DELIVER, False)


async def test_who_said_hello_says_soon_that_it_has_the_event() -> None:
    one, _, link = agreed(CONFIRM)
    link.agreement.features -= {Feature.REPEAT}
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=False)
    assert (caught.value.span.budget, caught.value.span.outcome) == ("dev.known", Outcome.TIMEOUT)


async def test_an_event_that_nobody_takes_is_published_again_to_who_knows_repeats() -> None:
    one, spans, link = agreed(CONFIRM, silence, CONFIRM, ACCEPTED, RESPONSE)
    assert (await one.run(is_new=False)).body == b'"ok"'
    first, again = link.published
    assert (first.data, first.id != again.id) == (again.data, True)
    assert [span.phase for span in spans.spans].count(Phase.PUBLISH) == 2


async def test_an_event_is_published_once_to_who_does_not() -> None:
    _, link = await answer(CONFIRM, PING, RESPONSE)
    assert len(link.published) == 1
    unanswered = ScriptedLink([CONFIRM])
    one, _ = call(unanswered)
    with pytest.raises(PhaseFailed):
        await one.run(is_new=False)
    assert len(unanswered.published) == 1


async def test_a_side_that_is_not_heard_of_again_is_gone() -> None:
    one, _, link = agreed(CONFIRM, ACCEPTED, BEAT)
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=False)
    span = caught.value.span
    assert (span.phase, span.outcome, span.budget) == (
        Phase.HANDLE,
        Outcome.TIMEOUT,
        "dev.silence",
    )
    assert (caught.value.is_accepted, link.proofs) == (True, 1)
    assert link.waits[-1] == pytest.approx(15.0, abs=0.1)


async def test_a_channel_that_is_silent_is_told_from_a_side_that_is() -> None:
    one, _, link = agreed(CONFIRM, ACCEPTED)
    link.proof = TimeoutError()
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=False)
    assert (caught.value.phase, caught.value.span.outcome) == (Phase.HANDLE, Outcome.CLOSED)


async def test_who_may_not_probe_does_not_blame_the_channel() -> None:
    one, _, link = agreed(CONFIRM, ACCEPTED)
    link.proof = Obstacle(Outcome.DENIED, error_type="UnauthorizedException")
    with pytest.raises(PhaseFailed) as caught:
        await one.run(is_new=False)
    assert caught.value.span.outcome is Outcome.TIMEOUT


async def test_without_beats_only_the_whole_time_counts() -> None:
    failed = await failure(CONFIRM, PING)
    assert failed.span.budget == "dev.total"


async def test_while_a_debugger_is_attached_only_silence_counts() -> None:
    one, _, link = agreed(
        CONFIRM, ACCEPTED, DEBUGGING, BEAT, RESPONSE, budgets=Budgets(dev_total=1.0)
    )
    assert (await one.run(is_new=False)).body == b'"ok"'
    before, during, after = link.waits[-3:]
    assert before < 1.0
    assert during == pytest.approx(15.0, abs=0.1)
    assert after < 1.0


async def test_a_debugger_outlasts_the_functions_deadline() -> None:
    link = ScriptedLink([CONFIRM, ACCEPTED, DEBUGGING, RESPONSE])
    link.agreement.features = frozenset(FEATURES)
    one, _ = call(link, budgets=Budgets(answer_reserve=19.9))
    assert (await one.run(is_new=False)).body == b'"ok"'
    assert link.waits[-1] == pytest.approx(15.0, abs=0.1)


async def test_a_publish_that_is_given_up_says_so() -> None:
    async def stop(_: float) -> Any:
        raise asyncio.CancelledError

    link = ScriptedLink([])
    link.next_happening = stop  # type: ignore[method-assign]
    one, spans = call(link)
    with pytest.raises(asyncio.CancelledError):
        await one.run(is_new=False)
    (span,) = spans.spans
    assert (span.outcome, span.detail["result"]) == (Outcome.CANCELLED, "cancelled")


async def test_the_developers_clock_is_in_the_record() -> None:
    one, spans, link = agreed(CONFIRM, ACCEPTED, RESPONSE)
    link.agreement.offset = -1.2344
    await one.run(is_new=False)
    deliver = next(span for span in spans.spans if span.phase is Phase.DELIVER)
    assert deliver.detail["clock_offset"] == -1.234
