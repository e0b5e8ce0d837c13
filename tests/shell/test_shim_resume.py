"""The relay goes in the middle of an invocation and comes back: nothing is lost, nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from event_protocol.live import MessageCode
from natless.certificates import Authority
from tests.shell.kill_stage import DOWN, UP, KillStage, open_kill_stage, packet_type
from tests.shell.shim_peers import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KillStage]:
    authority = Authority.for_user(tmp_path_factory.mktemp("ca"))
    folder = tmp_path_factory.mktemp("loop")
    async with open_kill_stage(folder, authority, RECONNECT_TOTAL="15") as stage:
        yield stage


@pytest.mark.parametrize(
    ("way", "code"),
    [
        (UP, MessageCode.NEXT),  # the event is on its way to the relay
        (DOWN, MessageCode.NEXT),  # … to the worker
        (UP, MessageCode.RESPONSE),  # the answer is on its way to the relay
        (None, None),  # the handler runs
    ],
)
async def test_a_relay_that_comes_back_costs_nobody_an_answer(
    loop: KillStage, way: str | None, code: MessageCode | None
) -> None:
    await loop.heal()

    def wanted(at: str, frame: dict[str, Any]) -> bool:
        return at == way and packet_type(frame) == code

    async with asyncio.timeout(PATIENCE), loop.function() as host:
        await host.invoke(b'{"n": 0}')
        await host.settled()
        ran = len(loop.facts.of("worker.invocation.started"))
        if way is not None:
            loop.door.hold(wanted)
        event = {"n": 1, "waits": way is None}
        asking = asyncio.create_task(host.invoke(json.dumps(event).encode()))
        if way is not None:
            await loop.door.reached.wait()
        while way is None and not loop.begun.exists():  # noqa: ASYNC110  nothing tells of a file
            await asyncio.sleep(0.005)
        await loop.kill("relay")
        loop.door.gate.set()
        await loop.relay.start()
        if way is None:
            loop.open_gate()
        result = await asking
        await host.settled()
    assert result.function_error is None, result.payload
    assert json.loads(result.payload) == {"developer": 1}
    assert len(loop.facts.of("worker.invocation.started")) == ran + 1, "the handler ran once"
