"""Durations of the channel, on a clock that is moved by hand."""

import asyncio
import json

import pytest

from event_protocol.limits import Limits
from relay.auth.api_key import ApiKey
from relay.config import Budgets
from tests.shell.relay_stage import DENIED, KEY, WatchedClock, api_config, masked, start, upgrade


@pytest.fixture
def clock():
    return WatchedClock()


async def test_ka_follows_the_ack_and_then_comes_every_minute(tmp_path, clock):
    async with start(tmp_path, clock=clock) as stage, stage.socket() as socket:
        await socket.ask(type="connection_init")
        assert await socket.hear() == '{"type":"ka"}'
        for _ in range(3):
            clock.advance(58)
            assert "publish_success" in await socket.publish("/default/x", "1")
            clock.advance(2)
            assert await socket.hear() == '{"type":"ka"}'


async def test_one_timer_serves_all_connections(tmp_path, clock):
    async with (
        start(tmp_path, clock=clock) as stage,
        stage.socket() as one,
        stage.socket() as two,
        stage.socket() as three,
    ):
        for socket in (one, two, three):
            await socket.ask(type="connection_init")
            await socket.hear()
        assert clock.waiting == 1
        clock.advance(61)
        for socket in (one, two, three):
            assert await socket.hear() == '{"type":"ka"}'


async def test_a_client_without_init_gets_no_ka_and_is_not_timed_out(tmp_path, clock):
    async with start(tmp_path, clock=clock) as stage, stage.socket() as socket:
        await socket.subscribe("/default/x")
        clock.advance(3600)
        assert "publish_success" in await socket.publish("/default/x", "1")


async def test_a_connection_ends_normally_after_24_hours(tmp_path, clock):
    async with start(tmp_path, clock=clock) as stage:
        async with stage.socket() as old:
            await old.subscribe("/default/x")
            clock.advance(43_200)
            async with stage.socket() as young:
                await young.subscribe("/default/x")
                clock.advance(43_201)
                assert await old.ended() == (1000, "")
                assert "publish_success" in await young.publish("/default/x", "1")
        assert [fact["reason"] for fact in stage.journal.of("relay.connection.closed")][:1] == [
            "age"
        ]


async def test_who_does_not_answer_the_goodbye_is_not_heard_and_is_cut(tmp_path, clock):
    publish = json.dumps(
        {
            "type": "publish",
            "id": "p",
            "channel": "/default/x",
            "events": ['"too late"'],
            "authorization": KEY,
        }
    )
    async with (
        start(tmp_path, clock=clock, budgets=Budgets(close=0.2)) as stage,
        stage.socket() as listening,
    ):
        reader, writer = await upgrade(stage)
        writer.write(masked(1, b'{"type":"connection_init"}'))
        await reader.readuntil(b'{"type":"ka"}')
        clock.advance(43_200)
        async with stage.socket() as young:
            await young.subscribe("/default/x")
            clock.advance(43_260)
            assert await listening.ended() == (1000, "")
            async with asyncio.timeout(10):
                await reader.readuntil(b"\x88\x02\x03\xe8")  # close, 1000
            writer.write(masked(1, publish.encode()))
            closed = await stage.journal.fact("relay.connection.closed", received=0, code=1000)
            assert closed["reason"] == "age"
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            await stage.post("/default/x", '"in time"')
            assert r'"event":"\"in time\""' in await young.hear()
        writer.transport.abort()


async def test_durations_are_scaled_and_the_client_is_told(tmp_path, clock):
    limits = Limits(connection_life=300)
    async with (
        start(tmp_path, clock=clock, time_scale=0.01, limits=limits) as stage,
        stage.socket() as socket,
    ):
        ack = await socket.ask(type="connection_init")
        assert json.loads(ack)["connectionTimeoutMs"] == 3000
        await socket.hear()
        clock.advance(0.65)
        assert await socket.hear() == '{"type":"ka"}'
        clock.advance(2.4)
        assert (await socket.ended())[0] == 1000


async def test_other_durations_can_be_set_one_by_one(tmp_path, clock):
    limits = Limits(keep_alive=7, connection_timeout=35, connection_life=100)
    async with start(tmp_path, clock=clock, limits=limits) as stage, stage.socket() as socket:
        ack = await socket.ask(type="connection_init")
        assert json.loads(ack)["connectionTimeoutMs"] == 35_000
        await socket.hear()
        clock.advance(7.2)
        assert await socket.hear() == '{"type":"ka"}'
        clock.advance(95)
        assert (await socket.ended())[0] == 1000


async def test_a_refusal_waits_for_the_client_or_for_its_budget(tmp_path, clock):
    budgets = Budgets(refusal=5.0)
    async with (
        start(tmp_path, clock=clock, budgets=budgets) as stage,
        stage.socket({"x-api-key": "wrong"}) as silent,
    ):
        await clock.is_waited_for(2)  # the wheel waits, and the relay for a first frame
        clock.advance(5.1)
        assert json.loads(await silent.hear())["errors"] == [DENIED | {"errorCode": 401}]
        await clock.is_waited_for(2)
        clock.advance(5.1)
        assert await silent.ended() == (1000, "")


async def test_a_key_that_expires_meanwhile_opens_nothing_more(tmp_path, clock):
    key = ApiKey(KEY["x-api-key"], expires=clock.wall() + 10)
    async with start(tmp_path, clock=clock, api=api_config(api_keys=(key,))) as stage:
        async with stage.socket() as socket:
            assert "publish_success" in await socket.publish("/default/x", "1")
            assert (await stage.post("/default/x", "1"))[0] == 200
            clock.advance(10)
            assert "publish_error" in await socket.publish("/default/x", "1")
            assert "subscribe_error" in await socket.subscribe("/default/x")
            assert (await stage.post("/default/x", "1"))[0] == 401
        async with stage.socket() as late:
            await late.say(type="connection_init")
            assert "connection_error" in await late.hear()


async def test_a_late_subscription_is_acknowledged_and_misses_what_comes_too_early(tmp_path, clock):
    async with (
        start(tmp_path, clock=clock, subscription_lag=0.3) as stage,
        stage.socket() as socket,
    ):
        assert json.loads(await socket.subscribe("/default/x"))["type"] == "subscribe_success"
        await stage.post("/default/x", '"too early"')
        clock.advance(0.29)
        await stage.post("/default/x", '"still too early"')
        clock.advance(0.01)
        fact = await stage.journal.fact("relay.subscription.live", channel="/default/x")
        assert fact["seconds"] == 0.3
        await stage.post("/default/x", '"in time"')
        assert r'"event":"\"in time\""' in await socket.hear()


async def test_a_late_subscription_may_end_before_it_delivers(tmp_path, clock):
    async with start(tmp_path, clock=clock, subscription_lag=5.0, time_scale=0.1) as stage:
        async with stage.socket() as socket:
            await socket.subscribe("/default/x", "a")
            await socket.subscribe("/default/x", "b")
            ended = await socket.ask(type="unsubscribe", id="a")
            assert json.loads(ended)["type"] == "unsubscribe_success"
            refused = json.loads(await socket.subscribe("/default/x", "b"))
            assert refused["errors"][0]["errorType"] == "DuplicatedOperationError"
            clock.advance(0.5)
            await stage.post("/default/x", "1")
            assert json.loads(await socket.hear())["id"] == "b"
            await socket.subscribe("/default/x", "c")
        await stage.journal.fact("relay.connection.closed")
        clock.advance(1)
        assert len(stage.journal.of("relay.subscription.live")) == 1
