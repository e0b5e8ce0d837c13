"""The profile ``sst``: what users of SST's bridge see, reproduced by the guest."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from event_protocol.frames import Subscribe, SubscribeError, WireError
from event_protocol.live import MessageCode, decode_packet
from event_protocol.phases import Outcome, Phase, Strategy
from tests.shell.shim_peers import (
    API_KEY,
    PATIENCE,
    WORKER,
    Bench,
    ScriptedRelay,
    Send,
    bench,
    failure_of,
    refuse_connection,
    respond,
)


def as_bridge(tmp_path: Path, **options: Any) -> Any:
    return bench(tmp_path, NATLESS_PROFILE="sst", **options)


def kinds(lab: Bench) -> list[int]:
    return [decode_packet(body["events"][0]).type for body in lab.door.bodies]


async def test_events_are_published_over_http_and_each_step_is_measured(tmp_path: Path) -> None:
    async with as_bridge(tmp_path) as lab:
        posted, record = await lab.ask({"n": 1})
        assert posted.json == {"echo": {"n": 1}}
        assert lab.relay.publishes == []
        assert kinds(lab) == [MessageCode.INIT, MessageCode.NEXT]
        assert lab.door.bodies[0]["channel"] == "/sst/app/dev/in"
        assert lab.door.headers[0]["x-api-key"] == API_KEY
        assert lab.developer.inits[0].features == ()
    steps = [s for s in record.spans if s.phase is Phase.PUBLISH]
    assert [s.detail["step"] for s in steps] == ["tcp", "tls", "answer"] * 2
    assert {s.detail["result"] for s in steps} == {"ok"}
    # INIT is published before there is a deadline, so nothing clips the bridge's own limits.
    assert [(s.budget, s.budget_seconds) for s in steps[:3]] == [
        ("publish.tcp", 30.0),
        ("publish.tls", 10.0),
        ("", 0.0),
    ]
    assert record.cold


async def test_the_channel_is_opened_and_init_published_before_the_first_event(
    tmp_path: Path,
) -> None:
    async with as_bridge(tmp_path) as lab:
        async with asyncio.timeout(PATIENCE):
            while not lab.api.waits:  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.01)
        assert kinds(lab) == [MessageCode.INIT]


@pytest.mark.parametrize("kind", ["status", "connection_error"])
async def test_a_channel_that_cannot_be_opened_ends_it_with_status_0(
    tmp_path: Path, kind: str
) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        if kind == "status":
            relay.on_request = respond(403)
        else:
            relay.on_init = refuse_connection

    async with as_bridge(tmp_path, set_up=set_up) as lab:
        lab.api.put({})
        assert await lab.guest.end() == 0
        assert lab.api.given == 0
        assert lab.api.posted == []


async def test_nobody_answers_and_the_status_is_a_string(tmp_path: Path) -> None:
    async with as_bridge(tmp_path, NATLESS_BUDGET_DEV_FIRST="0.2") as lab:
        lab.relay.developer = None
        posted, record = await lab.ask({})
    assert posted.kind == "response"
    assert posted.json == {
        "body": f"sst dev is not running (worker: {WORKER})",
        "statusCode": "500",
    }
    assert record.strategy is Strategy.FAITHFUL


async def test_without_a_subscription_it_goes_on_deaf(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        async def refuse(send: Send, frame: Subscribe) -> None:
            await send(SubscribeError(frame.id, (WireError("UnauthorizedException", "no"),)))

        relay.on_subscribe = refuse

    async with as_bridge(tmp_path, set_up=set_up, NATLESS_BUDGET_DEV_FIRST="0.2") as lab:
        posted, record = await lab.ask({})
        assert kinds(lab) == [MessageCode.INIT, MessageCode.NEXT]
    assert posted.json["statusCode"] == "500"
    failure = failure_of(record)
    assert failure is not None
    assert failure.phase is Phase.SUBSCRIBE


async def test_a_publish_that_is_refused_asks_for_the_same_event_without_end(
    tmp_path: Path,
) -> None:
    async with as_bridge(tmp_path, set_up_door=_refuse) as lab:
        lab.api.put({})
        records = [await lab.guest.record() for _ in range(4)]
        assert lab.api.given >= 8
        assert lab.api.posted == []
    assert {record.strategy for record in records} == {Strategy.FAITHFUL}
    assert [record.note.split(": asks")[0].split()[-1] for record in records] == list("1248")
    failure = failure_of(records[-1])
    assert failure is not None
    assert (failure.phase, failure.outcome) == (Phase.PUBLISH, Outcome.HTTP_ERROR)
    assert failure.detail["result"] == "http:401"


async def test_the_loop_ends_with_the_publish_that_gets_through(tmp_path: Path) -> None:
    async with as_bridge(tmp_path, set_up_door=_refuse) as lab:
        question = lab.api.put({"n": 1})
        await lab.guest.record()
        lab.door.on_post = lab.door.accept
        posted = await lab.api.answer(question)
        assert len(lab.api.posted) == 1
    # INIT was refused as well, and the bridge does not look: here the developer needs none.
    assert posted.json == {"echo": {"n": 1}}


async def test_a_host_that_swallows_the_publish_is_a_timeout_of_its_answer(
    tmp_path: Path,
) -> None:
    def set_up_door(door: Any) -> None:
        async def swallow(_: Any) -> web.Response:
            await asyncio.sleep(PATIENCE)
            raise web.HTTPGatewayTimeout

        door.on_post = swallow

    options = {"NATLESS_FALLBACKS": "http", "NATLESS_BUDGET_PUBLISH_ANSWER": "0.2"}
    async with as_bridge(tmp_path, set_up_door=set_up_door, **options) as lab:
        _, record = await lab.ask({})
    failure = failure_of(record)
    assert failure is not None
    assert failure.detail["result"] == "timeout:answer"
    assert (failure.budget, record.strategy) == ("publish.answer", Strategy.ERROR)


async def test_the_other_timeouts_are_told_apart(tmp_path: Path) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    options = {"NATLESS_FALLBACKS": "http", "NATLESS_BUDGET_PUBLISH_TLS": "0.2"}
    async with silent, as_bridge(tmp_path, NATLESS_HTTP=f"localhost:{port}", **options) as lab:
        _, record = await lab.ask({})
    failure = failure_of(record)
    assert failure is not None
    assert failure.detail["result"] == "timeout:tls"


async def test_a_handler_that_does_not_answer_hangs_beyond_the_deadline(tmp_path: Path) -> None:
    async with as_bridge(tmp_path) as lab:

        async def take(message: Any, say: Any) -> None:
            await say(MessageCode.PING, b"{}\n")

        lab.developer.on_next = take
        lab.api.put({}, timeout=0.4)
        record = await lab.guest.record()
        assert record.strategy is Strategy.FAITHFUL
        assert "asks for the event again in inf s" in record.note
        assert lab.api.posted == []
        assert lab.guest.process.returncode is None


async def test_any_wait_of_the_profile_can_be_changed(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        async def silent(_: Send) -> None:
            """Never acknowledges."""

        relay.on_init = silent

    async with as_bridge(tmp_path, set_up=set_up, NATLESS_BUDGET_CONNECT_ACK="0.2") as lab:
        assert await lab.guest.end() == 0
        assert [line for line in lab.guest.lines if line.startswith("init: no answer")]


def _refuse(door: Any) -> None:
    async def refuse(_: Any) -> web.Response:
        return web.Response(status=401, text=json.dumps({"errors": []}))

    door.on_post = refuse
