"""The real relay at its worst: late subscriptions, and connections that live for a moment only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from event_protocol.limits import Limits
from event_protocol.phases import InvocationRecord, Outcome, Phase, Strategy
from natless.worker import Worker, WorkerConfig
from relay.config import NamespaceConfig
from tests.shell.relay_stage import API_KEY, HTTP_HOST, api_config, start
from tests.shell.shim_peers import Guest, ScriptedRuntimeApi, guest_environment, run_guest
from tests.shell.worker_channel import Facts

HANDLER = """
import pathlib, time
HERE = pathlib.Path(__file__).parent
def handler(event, context):
    with (HERE / "runs").open("a") as runs:
        runs.write(f"{event['n']}\\n")
    time.sleep(event.get("seconds", 0))
    return {"developer": event["n"]}
"""


@dataclass
class Loop:
    api: ScriptedRuntimeApi
    guest: Guest
    facts: Facts
    folder: Path

    async def ask(self, **event: Any) -> InvocationRecord:
        posted = await self.api.ask(event)
        assert posted.json == {"developer": event["n"]}
        return await self.guest.record()

    @property
    def runs(self) -> list[str]:
        return (self.folder / "runs").read_text().split()


@asynccontextmanager
async def open_loop(tmp_path: Path, **relay: Any) -> AsyncIterator[Loop]:
    code = tmp_path / "code"
    code.mkdir()
    (code / "handler.py").write_text(HANDLER)
    api = api_config(namespaces=(NamespaceConfig(name="sst"),))
    facts = Facts()
    async with (
        start(tmp_path, api=api, **relay) as stage,
        ScriptedRuntimeApi().serving() as runtime_api,
    ):
        config = WorkerConfig(
            url=f"ws://localhost:{stage.relay.plain_port}/event/realtime",
            host=HTTP_HOST,
            api_key=API_KEY,
            app="app",
            stage="dev",
            folder=code,
            handler="handler.handler",
        )
        environment = guest_environment(
            runtime_api,
            host=f"localhost:{stage.relay.port}",
            ca=tmp_path / "ca" / "ca.pem",
            task_root=code,
            NATLESS_API_KEY=API_KEY,
            NATLESS_HTTP=HTTP_HOST,
            NATLESS_FALLBACKS="error",
        )
        async with Worker(config, facts.journal), run_guest(environment) as guest:
            yield Loop(runtime_api, guest, facts, code)


@pytest.mark.parametrize("lag", [0.0, 0.3])
async def test_an_environment_waits_until_its_subscription_delivers(
    tmp_path: Path, lag: float
) -> None:
    async with open_loop(tmp_path, subscription_lag=lag) as loop:
        record = await loop.ask(n=1)
    assert record.strategy is Strategy.WORKER
    (probe,) = [span for span in record.spans if span.phase is Phase.PROBE]
    assert probe.outcome is Outcome.OK
    assert probe.duration >= lag


async def test_connections_that_end_all_the_time_lose_no_invocation(tmp_path: Path) -> None:
    """A life of 24 hours in half a second, for both sides, also in the middle of a call."""
    async with open_loop(tmp_path, limits=Limits(connection_life=0.5)) as loop:
        records = [await loop.ask(n=number, seconds=0.15) for number in range(12)]
        ended = len(loop.facts.of("worker.connect.closed"))
    assert all(record.strategy is Strategy.WORKER for record in records)
    assert loop.runs == [str(number) for number in range(12)], "each ran once"
    assert ended > 1
    assert sum(record.cold for record in records) > 1
