"""Events that ``ok`` kept reach the developer's handler once somebody answers again, each once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from event_protocol.phases import Strategy
from natless.lambda_host.host import HostLauncher, LambdaHost
from tests.shell.shim_peers import PATIENCE
from tests.shell.test_worker_live import Loop, authority, loop

__all__ = ["authority", "loop"]  # fixtures

# Writes down what it is given, in a file beside its folder, so that each run can be counted.
HANDLER = """
import json, pathlib, time
NOTES = pathlib.Path({notes!r})
def handler(event, context):
    with NOTES.open("a") as notes:
        notes.write(json.dumps(event) + "\\n")
    gate = event.get("gate")
    while gate and not pathlib.Path(gate).exists():
        time.sleep(0.01)
    if event.get("raises"):
        raise ValueError("no")
    return event
"""


class Spooling:
    """A function that keeps what nobody answers, and what its handler was given."""

    def __init__(self, loop: Loop, folder: Path) -> None:
        self.loop = loop
        self.spool = folder / "spool"
        self.notes = folder / "notes"
        self.notes.touch()
        loop.save(HANDLER.format(notes=str(self.notes)))

    @asynccontextmanager
    async def function(self, **variables: str) -> AsyncIterator[LambdaHost]:
        spec = self.loop.function().spec
        own = {
            "NATLESS_FALLBACKS": "ok",
            "NATLESS_SPOOL": str(self.spool),
            "NATLESS_BUDGET_DEV_FIRST": "0.5",
            "NATLESS_BUDGET_DEV_KNOWN": "5",
        }
        host = LambdaHost(
            replace(spec, environment=dict(spec.environment) | own | variables),
            launcher=HostLauncher(),
            journal=self.loop.facts.journal,
        )
        host.on_record(self.loop.records.append)
        async with host:
            yield host

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.spool.iterdir()) if self.spool.exists() else []

    @property
    def given(self) -> list[object]:
        return [json.loads(line) for line in self.notes.read_text().splitlines()]

    def kept(self) -> list[str]:
        """The notes of the records about kept events."""
        records = [record for record in self.loop.records if record.strategy is Strategy.OK]
        return [record.note for record in records if record.note.startswith(("an event", "a kept"))]


async def ask(host: LambdaHost, **event: object) -> bytes:
    result = await host.invoke(json.dumps(event).encode())
    await host.settled()
    assert result.function_error is None, result.payload
    return result.payload


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  a file of another process, nothing tells
            await asyncio.sleep(0.01)


async def test_kept_events_are_brought_behind_the_next_answer(loop: Loop, tmp_path: Path) -> None:
    stage = Spooling(loop, tmp_path)
    async with stage.function() as host:
        for number in range(3):
            assert await ask(host, n=number) == b"null"
        assert (len(stage.files), stage.given) == (3, [])
        async with loop.worker():
            assert json.loads(await ask(host, n=3)) == {"n": 3}
        await until(lambda: not stage.files)
    assert stage.given == [{"n": 3}, {"n": 0}, {"n": 1}, {"n": 2}]
    assert len(stage.kept()) == 3
    assert all("was answered by the developer's side" in note for note in stage.kept())


async def test_kept_events_outlive_the_guest_that_kept_them(loop: Loop, tmp_path: Path) -> None:
    stage = Spooling(loop, tmp_path)
    async with stage.function() as host:
        await ask(host, n=0)
    async with stage.function() as host, loop.worker():
        await ask(host, n=1)
        await until(lambda: not stage.files)
    assert stage.given == [{"n": 1}, {"n": 0}]


async def test_no_time_is_spent_beyond_its_budget_and_the_rest_waits(
    loop: Loop, tmp_path: Path
) -> None:
    stage = Spooling(loop, tmp_path)
    gate = tmp_path / "gate"
    async with stage.function(NATLESS_BUDGET_SPOOL_REPLAY="1.2") as host:
        await ask(host, n=0, gate=str(gate))
        await ask(host, n=1)
        async with loop.worker():
            await ask(host, n=2)
            assert len(stage.files) == 2, "one is on its way, and nobody has answered it"
            asking = asyncio.create_task(ask(host, n=3))
            await until(lambda: stage.given.count({"n": 0, "gate": str(gate)}) == 2)
            gate.touch()
            await asking
            while stage.files:  # a slow machine needs more than one budget
                await ask(host, n=99)
    waiting, rest = {"n": 0, "gate": str(gate)}, [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [each for each in stage.given if each in rest] == [{"n": 2}, {"n": 3}, {"n": 1}]
    # The invocation that came in between stopped it, so it was begun anew, and ended once.
    assert stage.given.count(waiting) == 2
    assert sum("was answered" in note for note in stage.kept()) == 2


async def test_an_event_that_was_answered_is_not_run_again_by_who_did_not_hear(
    loop: Loop, tmp_path: Path
) -> None:
    """The guest gives up before the answer is there; the handler ends; the guest asks again."""
    stage = Spooling(loop, tmp_path)
    gate = tmp_path / "gate"
    async with stage.function(NATLESS_BUDGET_SPOOL_REPLAY="1.2") as host:
        await ask(host, n=0, gate=str(gate))
        async with loop.worker():
            await ask(host, n=1)
            gate.touch()
            await loop.facts.wait("worker.invocation.complete", count=2)
            await ask(host, n=2)
            await until(lambda: not stage.files)
    assert stage.given == [{"n": 1}, {"n": 0, "gate": str(gate)}, {"n": 2}]
    assert loop.facts.of("worker.invocation.repeated")


async def test_an_event_whose_handler_raises_is_set_aside(loop: Loop, tmp_path: Path) -> None:
    stage = Spooling(loop, tmp_path)
    async with stage.function() as host:
        await ask(host, n=0, raises=True)
        await ask(host, n=1)
        async with loop.worker():
            await ask(host, n=2)
            await until(lambda: len(stage.files) == 1)
            await ask(host, n=3)
    (left,) = stage.files
    assert left.endswith(".failed")
    assert stage.given == [{"n": 2}, {"n": 0, "raises": True}, {"n": 1}, {"n": 3}]
    assert any("its handler failed with ValueError" in note for note in stage.kept())


async def test_a_guest_that_is_killed_while_it_brings_an_event_repeats_nothing(
    loop: Loop, tmp_path: Path
) -> None:
    stage = Spooling(loop, tmp_path)
    gate = tmp_path / "gate"
    pids: list[int] = []
    loop.facts.journal.listen(
        lambda fact: (
            pids.append(int(fact.data["pid"]))
            if fact.kind == "lambda.environment.started"
            else None
        )
    )
    async with stage.function() as host:
        await ask(host, n=0, gate=str(gate))
        async with loop.worker():
            asking = asyncio.create_task(ask(host, n=1))
            await until(lambda: len(stage.given) == 2)
            os.kill(pids[-1], signal.SIGKILL)
            await asking
            gate.touch()
            await loop.facts.wait("worker.invocation.complete", count=2)
            await ask(host, n=2)
            await until(lambda: not stage.files)
    assert stage.given.count({"n": 0, "gate": str(gate)}) == 1
