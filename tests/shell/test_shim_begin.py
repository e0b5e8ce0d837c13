"""The channel is opened ahead of the first event, and proven before it is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from event_protocol.frames import Publish, PublishError, WireError
from event_protocol.live import Hello, Message, MessageCode, decode_packet
from event_protocol.phases import Outcome, Phase, Strategy
from tests.shell.shim_peers import (
    WORKER,
    Say,
    ScriptedRelay,
    Send,
    accept_publication,
    bench,
    failure_of,
    respond,
)

AHEAD = {"NATLESS_BUDGET_INIT_SHARE": "8"}


async def test_the_channel_stands_before_the_first_event_is_asked_for(tmp_path: Path) -> None:
    async with bench(tmp_path, **AHEAD) as lab:
        posted, record = await lab.ask({"n": 1})
    assert posted.json == {"echo": {"n": 1}}
    phases = [span.phase for span in record.spans]
    assert phases.count(Phase.PROBE) == 1
    assert record.cold
    begun = [span for span in record.spans if span.started < record.started]
    assert [span.phase for span in begun][-2:] == [Phase.PROBE, Phase.PUBLISH]
    assert begun[-1].detail["packet"] == "init", "the developer's side starts its process meanwhile"


async def test_what_failed_ahead_is_the_first_events_failure_at_once(tmp_path: Path) -> None:
    def closed(relay: ScriptedRelay) -> None:
        relay.on_request = respond(403)

    async with bench(tmp_path, set_up=closed, **AHEAD) as lab:
        _, first = await lab.ask({"n": 1})
        tries = [span for span in first.spans if span.phase is Phase.UPGRADE]
        assert first.strategy is Strategy.DEPLOYED
        assert len(tries) == 1, "the event did not wait for a second try"
        _, second = await lab.ask({"n": 2})
    assert [span.phase for span in second.spans].count(Phase.UPGRADE) == 1


async def test_what_the_share_cut_short_is_tried_again_for_the_event(tmp_path: Path) -> None:
    held: list[Send] = []

    def slow_once(relay: ScriptedRelay) -> None:
        acknowledge = relay.on_init

        async def hold(send: Send) -> None:
            if held:
                await acknowledge(send)
            held.append(send)

        relay.on_init = hold

    async with bench(tmp_path, set_up=slow_once, NATLESS_BUDGET_INIT_SHARE="0.3") as lab:
        posted, record = await lab.ask({"n": 1})
    assert posted.json == {"echo": {"n": 1}}
    cut = failure_of(record)
    assert cut is not None
    assert (cut.phase, cut.outcome, cut.detail["clipped"]) == (Phase.INIT, Outcome.TIMEOUT, True)
    assert cut.finished < record.started


async def test_a_subscription_is_proven_by_an_event_to_its_own_channel(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        _, record = await lab.ask({"n": 1})
        await lab.ask({"n": 2})
        (probe,) = lab.relay.probes
    packet = decode_packet(probe.events[0])
    assert (packet.type, packet.source) == (MessageCode.PROBE, WORKER)
    span = next(span for span in record.spans if span.phase is Phase.PROBE)
    assert (span.budget, span.budget_seconds) == ("subscribe.live", 2.0)


async def test_events_lost_right_after_the_ack_are_asked_for_again(tmp_path: Path) -> None:
    """Acknowledged and not yet live: the bug that AppSync is known for."""

    def deaf_at_first(relay: ScriptedRelay) -> None:
        async def lose(send: Send, frame: Publish) -> None:
            if len(relay.probes) < 3:
                await accept_publication(send, frame)
            else:
                await relay.deliver_back(send, frame)

        relay.on_probe = lose

    async with bench(tmp_path, set_up=deaf_at_first, NATLESS_BUDGET_SUBSCRIBE_LIVE="0.4") as lab:
        posted, record = await lab.ask({"n": 1})
        assert len(lab.relay.probes) == 3
        assert len(lab.relay.subscribed) == 1
    assert posted.json == {"echo": {"n": 1}}
    assert failure_of(record) is None


async def test_a_subscription_that_stays_deaf_is_replaced_by_another(tmp_path: Path) -> None:
    def first_is_deaf(relay: ScriptedRelay) -> None:
        async def lose(send: Send, frame: Publish) -> None:
            if len(relay.subscribed) > 1:
                await relay.deliver_back(send, frame)
            else:
                await accept_publication(send, frame)

        relay.on_probe = lose

    async with bench(tmp_path, set_up=first_is_deaf, NATLESS_BUDGET_SUBSCRIBE_LIVE="0.05") as lab:
        posted, record = await lab.ask({"n": 1})
        first, second = lab.relay.subscribed
    assert posted.json == {"echo": {"n": 1}}
    assert first.id != second.id
    assert first.channel == second.channel
    probes = [span for span in record.spans if span.phase is Phase.PROBE]
    assert [span.outcome for span in probes] == [Outcome.TIMEOUT, Outcome.OK]


async def test_a_subscription_that_never_delivers_is_not_used(tmp_path: Path) -> None:
    def deaf(relay: ScriptedRelay) -> None:
        relay.on_probe = accept_publication

    async with bench(
        tmp_path, set_up=deaf, NATLESS_BUDGET_SUBSCRIBE_LIVE="0.05", NATLESS_FALLBACKS="error"
    ) as lab:
        posted, record = await lab.ask({"n": 1})
        assert not lab.relay.publishes, "an event whose answer nobody would hear"
        assert len(lab.relay.subscribed) == 2
    assert posted.json["errorType"] == "LiveBridge.ProbeTimeout"
    assert "acknowledged and delivers nothing" in posted.json["errorMessage"]
    span = failure_of(record)
    assert span is not None
    assert span.phase is Phase.PROBE


async def test_who_may_not_publish_to_its_own_channel_is_served_unproven(tmp_path: Path) -> None:
    def forbid(relay: ScriptedRelay) -> None:
        async def refuse(send: Send, frame: Publish) -> None:
            await send(PublishError(frame.id, (WireError("UnauthorizedException", "no"),)))

        relay.on_probe = refuse

    async with bench(tmp_path, set_up=forbid) as lab:
        posted, record = await lab.ask({"n": 1})
    assert posted.json == {"echo": {"n": 1}}
    span = next(span for span in record.spans if span.phase is Phase.PROBE)
    assert span.detail["unproven"] == "UnauthorizedException"


@pytest.mark.parametrize("variable", ["NATLESS_BUDGET_SUBSCRIBE_LIVE", "NATLESS_PROFILE"])
async def test_the_probe_can_be_left_out_as_ssts_bridge_does(tmp_path: Path, variable: str) -> None:
    value = {"NATLESS_BUDGET_SUBSCRIBE_LIVE": "0", "NATLESS_PROFILE": "sst"}[variable]
    async with bench(tmp_path, **{variable: value}) as lab:
        posted, record = await lab.ask({"n": 1})
        assert not lab.relay.probes
    assert posted.json == {"echo": {"n": 1}}
    assert Phase.PROBE not in [span.phase for span in record.spans]


async def test_nothing_of_ours_is_sent_to_a_side_that_announced_nothing(tmp_path: Path) -> None:
    """A developer's side that behaves as SST's CLI: it never says HELLO."""
    async with bench(tmp_path, NATLESS_BUDGET_DEV_TOTAL="0.1", **AHEAD) as lab:
        await lab.ask({"n": 1})

        async def hang(_: Message, say: Say) -> None:
            await say(MessageCode.PING, b"{}\n")

        lab.developer.on_next = hang
        posted, _ = await lab.ask({"n": 2})
        assert posted.kind == "error", "the fallback answers, and would send CANCEL"
        codes = {decode_packet(each.events[0]).type for each in lab.relay.publishes}
    assert codes == {MessageCode.INIT, MessageCode.NEXT}


async def test_what_was_measured_is_reported_behind_the_answer(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:

        async def greet(message: Message, say: Say) -> None:
            hello = Hello(frozenset({"report", "cancel"}), "a")
            await say(MessageCode.HELLO, hello.encode())
            await lab.developer.answer(message, say)

        lab.developer.on_next = greet
        _, record = await lab.ask({"n": 1})
        await lab.ask({"n": 2})
        reports = [
            packet
            for packet in (decode_packet(each.events[0]) for each in lab.relay.publishes)
            if packet.type == MessageCode.REPORT
        ]
    assert reports[0].source == WORKER
    assert record.request_id.encode() in reports[0].data
