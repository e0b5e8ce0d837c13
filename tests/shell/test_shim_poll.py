"""HTTPS is open and no WebSocket is: the guest publishes and fetches its answers over HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from event_protocol.phases import Outcome, Phase, Strategy
from natless.lambda_host.host import HostLauncher, LambdaHost
from tests.shell.test_worker_live import Loop, authority, loop, message

__all__ = ["authority", "loop"]  # fixtures


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def function(loop: Loop, **variables: str) -> AsyncIterator[LambdaHost]:
    spec = loop.function().spec
    environment = dict(spec.environment) | {
        "NATLESS_REALTIME": f"localhost:{closed_port()}",
        "NATLESS_HTTP": f"localhost:{loop.relay.port}",
        "NATLESS_FALLBACKS": "poll,error",
    }
    host = LambdaHost(
        replace(spec, environment=environment | variables),
        launcher=HostLauncher(),
        journal=loop.facts.journal,
    )
    host.on_record(loop.records.append)
    async with host:
        yield host


async def ask(host: LambdaHost, event: object) -> dict[str, object]:
    result = await host.invoke(json.dumps(event).encode())
    await host.settled()
    return {"result": result}


async def test_answers_are_fetched_by_polls_and_the_way_is_kept(loop: Loop) -> None:
    async with loop.worker(), function(loop) as host:
        for number in range(5):
            answer = await ask(host, {"name": f"n{number}"})
            assert "developer" in message(answer["result"])  # type: ignore[arg-type]
    assert loop.records[0].strategy is Strategy.POLL
    first = [span for span in loop.records[0].spans if span.outcome is not Outcome.OK]
    assert [span.phase for span in first] == [Phase.CONNECT]
    assert all(span.outcome is Outcome.OK for each in loop.records[1:] for span in each.spans)


async def test_megabytes_go_through_polls_both_ways(loop: Loop) -> None:
    loop.save("def handler(event, context):\n    return event\n")
    async with loop.worker(), function(loop) as host:
        event = {"large": "x" * 2_000_000}
        answer = await ask(host, event)
    assert json.loads(answer["result"].payload) == event  # type: ignore[attr-defined]


async def test_a_developers_side_that_comes_back_is_introduced_over_polls(loop: Loop) -> None:
    async with function(loop) as host:
        for number in range(2):
            async with loop.worker():
                answer = await ask(host, {"name": f"n{number}"})
                assert "developer" in message(answer["result"])  # type: ignore[arg-type]


async def test_what_is_measured_reaches_the_developer_over_polls(loop: Loop) -> None:
    async with loop.worker(), function(loop) as host:
        await ask(host, {"name": "x"})
        fact = await loop.facts.wait("worker.report.received")
    assert fact.data["strategy"] == "poll"


@pytest.mark.parametrize("door", ["closed", "wrong key"])
async def test_without_https_the_next_strategy_answers(loop: Loop, door: str) -> None:
    variables = {
        "closed": {"NATLESS_HTTP": f"localhost:{closed_port()}"},
        "wrong key": {"NATLESS_API_KEY": "da2-wrong"},
    }[door]
    async with loop.worker(), function(loop, **variables) as host:
        result = (await ask(host, {"name": "x"}))["result"]
    assert json.loads(result.payload)["errorType"] == "LiveBridge.ConnectRefused"  # type: ignore[attr-defined]
    expected = {"closed": "connect refused", "wrong key": "subscribe denied"}[door]
    assert f"poll could not: over HTTPS: {expected}" in loop.records[0].note
