"""What a guest of ours is told beside answers, and what a guest that announced nothing is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from event_protocol.live import (
    FEATURES,
    Accepted,
    Beat,
    Cancel,
    Feature,
    Hello,
    MessageCode,
    encode_report,
)
from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy, encode_record
from tests.shell.lambda_scripts import Runtime, ScriptedLauncher
from tests.shell.test_worker_invocations import BUDGETS, Bench, echo, hang
from tests.shell.worker_channel import GUEST, Channel

SAME = {"Lambda_Runtime_Invocation_Id": "one attempt"}

OURS = frozenset(code for code in MessageCode if code >= 100)
RECORD = InvocationRecord(
    "r-1",
    GUEST,
    cold=True,
    strategy=Strategy.WORKER,
    started=1.0,
    finished=1.5,
    spans=(
        Span(Phase.PUBLISH, 1.0, 1.1),
        Span(Phase.DELIVER, 1.1, 1.2, Outcome.TIMEOUT),
    ),
)


@pytest.fixture
async def bench(tmp_path):
    async with Channel().serve() as channel:
        yield Bench(channel, tmp_path)


def count(launcher: ScriptedLauncher) -> int:
    return len(launcher.processes)


async def test_features_are_agreed_by_a_hello(bench):
    async with bench.worker(echo):
        await bench.guest.introduce("beat", "telepathy")
        message = await bench.guest.message()
        assert message.code == MessageCode.HELLO
        hello = Hello.decode(message.body)
        assert hello.features == {Feature.BEAT}, "what both know, and nothing else"
        assert hello.now > 1_700_000_000
        [fact] = bench.facts.of("worker.init.received")
    assert fact.data["features"] == ["beat", "telepathy"]


async def test_two_workers_have_two_names(tmp_path):
    names = set()
    for number in range(2):
        async with Channel().serve() as channel:
            bench = Bench(channel, tmp_path)
            async with bench.worker(echo):
                await bench.guest.introduce(*FEATURES)
                names.add(Hello.decode((await bench.guest.message()).body).instance)
        assert len(names) == number + 1


async def test_a_guest_that_announced_nothing_is_sent_no_code_of_ours(bench):
    """SST's bridge would ignore them, and begin its wait anew for each."""
    gate = asyncio.Event()

    async def gated(runtime: Runtime) -> None:
        headers, body = await runtime.next()
        await gate.wait()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)
        await echo(runtime)

    async with bench.worker(gated, budgets=replace(BUDGETS, beat=0.001)) as worker:
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", 1, **SAME)
        assert (await bench.guest.message()).code == MessageCode.PING
        worker._counterparts[GUEST]._voice.note_debugger(is_attached=True)
        gate.set()
        assert (await bench.guest.message()).code == MessageCode.RESPONSE
        await bench.guest.invoke("r-1", 1, **SAME)  # a repeat
        assert (await bench.guest.message()).code == MessageCode.PING
        await bench.guest.send(MessageCode.CANCEL, Cancel("r-1").encode())
        await bench.guest.send(MessageCode.REPORT, encode_report(encode_record(RECORD)))
        await bench.guest.invoke("r-2", 2)
        assert (await bench.guest.message()).code == MessageCode.PING
        assert (await bench.guest.message()).code == MessageCode.RESPONSE
    address = bench.guest.address
    sent = {packet.type for where, packet in bench.channel.published if where == address}
    assert not sent & OURS


async def test_an_accepted_request_is_named_in_place_of_a_ping(bench):
    async with bench.worker(echo):
        await bench.guest.introduce(*FEATURES)
        await bench.guest.message()
        await bench.guest.invoke("r-1", 1)
        first, answer = await bench.guest.message(), await bench.guest.message()
    assert first.code == MessageCode.ACCEPTED
    assert Accepted.decode(first.body).request_id == "r-1"
    assert (answer.code, answer.id) == (MessageCode.RESPONSE, "r-1")
    assert not [p for _, p in bench.channel.published if p.type == MessageCode.PING]


async def test_a_handler_that_runs_beats_until_it_is_done(bench):
    gate = asyncio.Event()

    async def gated(runtime: Runtime) -> None:
        while True:
            headers, body = await runtime.next()
            await gate.wait()
            await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)

    async with bench.worker(gated, budgets=replace(BUDGETS, beat=0.001)) as worker:
        await bench.guest.introduce(*FEATURES)
        await bench.guest.message()
        await bench.guest.invoke("r-1", 1)
        assert (await bench.guest.message()).code == MessageCode.ACCEPTED
        for _ in range(3):
            beat = await bench.guest.message()
            assert beat.code == MessageCode.BEAT
            assert Beat.decode(beat.body).request_id == "r-1"
        worker._counterparts[GUEST]._voice.note_debugger(is_attached=True)
        while not Beat.decode((await bench.guest.message()).body).is_debugging:
            pass
        gate.set()
        while (message := await bench.guest.message()).code == MessageCode.BEAT:
            pass
        assert message.code == MessageCode.RESPONSE
        await bench.facts.wait("worker.invocation.complete")
        gate.clear()
        await bench.guest.invoke("r-2", 2)
        while (message := await bench.guest.message()).code == MessageCode.BEAT:
            pass  # one may have been on its way beside the answer
        assert message.code == MessageCode.ACCEPTED
        for _ in range(3):
            beat = await bench.guest.message()
            assert Beat.decode(beat.body).request_id == "r-2"


async def test_a_cancelled_request_stops_its_handler_and_is_reported_lost(bench):
    async with bench.worker(hang, echo):
        await bench.guest.introduce(*FEATURES)
        await bench.guest.message()
        await bench.guest.invoke("r-1", 1)
        await bench.facts.wait("worker.invocation.started")
        await bench.guest.send(MessageCode.CANCEL, Cancel("another", "x").encode())
        await bench.guest.send(MessageCode.CANCEL, Cancel("r-1", "handle timeout").encode())
        failed = await bench.facts.wait("worker.invocation.failed")
        [cancelled] = bench.facts.of("worker.invocation.cancelled")
        await bench.guest.invoke("r-2", 2)
        while (message := await bench.guest.message()).code != MessageCode.RESPONSE:
            assert message.id != "r-1"
        assert message.id == "r-2"
    assert (failed.data["reason"], failed.data["answered"]) == ("cancelled", False)
    assert cancelled.data["reason"] == "handle timeout"
    assert bench.launcher.processes[0].is_killed


async def test_a_repeated_request_is_answered_again_without_running_it(bench):
    runs: list[bytes] = []

    async def counted(runtime: Runtime) -> None:
        while True:
            headers, body = await runtime.next()
            runs.append(body)
            await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b'"%s"' % body)

    async with bench.worker(counted):
        await bench.guest.introduce(*FEATURES)
        await bench.guest.message()
        await bench.guest.invoke("r-1", 1, **SAME)
        assert (await bench.guest.message()).code == MessageCode.ACCEPTED
        assert (await bench.guest.message()).body == b'"1"'
        published = len(bench.channel.published)
        await bench.guest.invoke("r-1", 1, **SAME)
        # The guest's reassembler would drop it, as the guest itself does: look at the channel.
        await bench.channel.until(lambda: len(bench.channel.published) > published)
    _, packet = bench.channel.published[published]
    assert (packet.type, packet.id, packet.data) == (MessageCode.RESPONSE, "r-1", b'"1"')
    assert runs == [b"1"]


async def test_lambdas_own_retry_runs_the_handler_again(bench):
    async with bench.worker(echo):
        await bench.guest.introduce(*FEATURES)
        await bench.guest.message()
        for number in range(2):
            await bench.guest.invoke("r-1", number, Lambda_Runtime_Invocation_Id=f"try {number}")
            await bench.facts.wait("worker.invocation.complete", count=number + 1)
        assert not bench.facts.of("worker.invocation.repeated")


async def test_a_request_that_was_cancelled_may_be_begun_anew(bench):
    """An event that was kept in the spool meanwhile comes again under its id."""
    async with bench.worker(hang, echo):
        await bench.guest.introduce(*FEATURES)
        await bench.guest.message()
        await bench.guest.invoke("r-1", 1, **SAME)
        await bench.facts.wait("worker.invocation.started")
        await bench.guest.send(MessageCode.CANCEL, Cancel("r-1").encode())
        await bench.facts.wait("worker.invocation.failed")
        await bench.guest.invoke("r-1", 1, **SAME)
        while (message := await bench.guest.message()).code != MessageCode.RESPONSE:
            pass
        assert (message.id, message.body) == ("r-1", b"1")


async def test_what_a_guest_measured_is_a_fact_and_told_to_who_listens(bench):
    told: list[InvocationRecord] = []
    async with bench.worker(echo) as worker:
        end = worker.on_report(told.append)
        await bench.guest.send(MessageCode.REPORT, encode_report(encode_record(RECORD)))
        fact = await bench.facts.wait("worker.report.received")
        await bench.guest.send(
            MessageCode.REPORT, encode_report(encode_record(replace(RECORD, worker_id="x" * 32)))
        )
        end()
        await bench.guest.send(MessageCode.REPORT, encode_report(encode_record(RECORD)))
        await bench.facts.wait("worker.report.received", count=2)
    assert told == [RECORD]
    assert fact.data["phases"] == [
        {"phase": "publish", "seconds": 0.1},
        {"phase": "deliver", "seconds": 0.1, "outcome": "timeout"},
    ]
    assert (fact.data["seconds"], fact.data["strategy"]) == (0.5, "worker")
