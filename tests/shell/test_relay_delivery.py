"""Who gets what, in which order, and what happens to who does not read."""

import asyncio
import contextlib
import json
import socket

import pytest

from event_protocol.limits import Limits
from relay.config import Budgets
from relay.usher import Wire
from tests.shell.relay_stage import KEY, masked, start, upgrade


@pytest.fixture
async def stage(tmp_path):
    async with start(tmp_path) as stage:
        yield stage


EVENTS = [
    '{"a":1}',
    ' { "a" : 1.0e3 , "a":2 } ',
    r'"\u00e9\/\ud83d\ude00 \ud800"',
    '"é ☃ 😀 \u2028"',
    "[1,2,\t3]",
    "12345678901234567890.000000000000000000001",
    "null",
    '""',
]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("over", ["realtime", "http"])
@pytest.mark.parametrize("ensure_ascii", [True, False])
async def test_an_event_arrives_byte_for_byte(stage, event, over, ensure_ascii):
    async with stage.socket() as listening, stage.socket() as speaking:
        await listening.subscribe("/default/x")
        frame = {"channel": "/default/x", "events": [event]}
        for _ in range(2):  # the second one goes the short way
            if over == "http":
                body = json.dumps(frame, ensure_ascii=ensure_ascii).encode()
                async with stage.request(data=body, headers=KEY) as answer:
                    assert answer.status == 200
            else:
                whole = frame | {"type": "publish", "id": "p", "authorization": KEY}
                await speaking.connection.send(json.dumps(whole, ensure_ascii=ensure_ascii))
                assert "publish_success" in await speaking.hear()
            text = await listening.hear()
            assert text.startswith('{"id":"s","type":"data","event":"')
            assert json.loads(text)["event"] == event


async def test_a_publisher_hears_its_answer_before_its_own_event(stage):
    async with stage.socket() as one:
        await one.subscribe("/default/x")
        for number in range(20):
            assert "publish_success" in await one.publish("/default/x", f"{number}")
            assert json.loads(await one.hear())["event"] == f"{number}"


async def test_no_event_comes_before_the_subscription_is_acknowledged(stage):
    """All is said before anything is heard, so the relay handles much of it in one turn."""
    async with stage.socket() as early, stage.socket() as one:
        await early.subscribe("/default/x")
        publish = {"type": "publish", "channel": "/default/x", "authorization": KEY}
        subscribe = {"type": "subscribe", "channel": "/default/x", "authorization": KEY}
        await one.publish("/default/x", '"zero"', name="p0")
        await one.say(**publish, id="p1", events=['"before"'])
        await one.say(**subscribe, id="s1")
        await one.say(**publish, id="p2", events=['"between"'])
        await one.say(type="unsubscribe", id="s1")
        await one.say(**publish, id="p3", events=['"after"'])
        heard = [json.loads(await one.hear()) for _ in range(6)]
        assert [(frame["id"], frame["type"]) for frame in heard] == [
            ("p1", "publish_success"),
            ("s1", "subscribe_success"),
            ("p2", "publish_success"),
            ("s1", "data"),
            ("s1", "unsubscribe_success"),
            ("p3", "publish_success"),
        ]
        assert heard[3]["event"] == '"between"'
        seen = [json.loads(await early.hear())["event"] for _ in range(4)]
        assert seen == ['"zero"', '"before"', '"between"', '"after"']


async def test_a_second_subscription_between_two_publishes_does_not_mix_them_up(stage):
    async with stage.socket() as one:
        await one.subscribe("/default/x", "s1")
        await one.publish("/default/x", "0", name="p0")
        await one.hear()
        publish = {"type": "publish", "channel": "/default/x", "authorization": KEY}
        await asyncio.gather(
            one.say(**publish, id="p1", events=["1"]),
            one.say(type="subscribe", id="s2", channel="/default/y", authorization=KEY),
            one.say(**publish, id="p2", events=["2"]),
            one.say(type="unsubscribe", id="s2"),
            one.say(**publish, id="p3", events=["3"]),
        )
        heard = [json.loads(await one.hear()) for _ in range(8)]
        assert [frame["event"] for frame in heard if frame["type"] == "data"] == ["1", "2", "3"]


async def test_a_wildcard_hears_all_channels_below_it_in_the_order_of_publishing(stage):
    channels = ["/default/a", "/default/a/b", "/default/c", "/default/a/b/c/d"]
    async with stage.socket() as listening, stage.socket() as speaking:
        await listening.subscribe("/default/*")
        frames = [
            {"type": "publish", "id": f"p{n}", "channel": channels[n % 4], "events": [str(n)]}
            for n in range(100)
        ]
        await asyncio.gather(*(speaking.say(**frame, authorization=KEY) for frame in frames))
        heard = [int(json.loads(await listening.hear())["event"]) for _ in frames]
        assert heard == list(range(100))
        await stage.post("/default", '"not below"')
        await stage.post("/other/x", '"elsewhere"')
        await stage.post("/default/end", '"end"')
        assert json.loads(await listening.hear())["event"] == '"end"'


async def test_a_batch_comes_as_one_frame_for_each_event_in_order(stage):
    async with stage.socket() as listening:
        await listening.subscribe("/default/x")
        await stage.post("/default/x", "1", "2", "3", "4", "5")
        assert [json.loads(await listening.hear())["event"] for _ in range(5)] == list("12345")


async def test_the_same_channel_twice_means_every_event_twice(stage):
    async with stage.socket() as one:
        await one.subscribe("/default/x", "a")
        await one.subscribe("/default/x", "longer-name")
        await stage.post("/default/x", "1", "2")
        heard = [json.loads(await one.hear()) for _ in range(4)]
        assert [(frame["event"], frame["id"]) for frame in heard] == [
            ("1", "a"),
            ("1", "longer-name"),
            ("2", "a"),
            ("2", "longer-name"),
        ]


async def test_a_connection_that_ended_leaves_nothing_behind(stage):
    async with stage.socket() as one:
        await one.subscribe("/default/x")
        await one.subscribe("/default/*", "w")
        one.connection.transport.abort()
    api = next(iter(stage.relay.registry))
    closed = await stage.journal.fact("relay.connection.closed")
    assert closed["code"] == 1006
    assert len(api.channels) == 0
    assert not stage.relay.connections
    assert (await stage.post("/default/x", "1"))[0] == 200


async def test_who_does_not_read_is_cut_and_nobody_else_notices(tmp_path):
    """A subscriber with small socket buffers stops reading; 60 events of 200 kB are published."""
    event = json.dumps("x" * 200_000)
    async with start(tmp_path, unsent_bytes=1_000_000) as stage:
        small = socket.create_connection(("localhost", stage.relay.plain_port))
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        async with (
            stage.socket(sock=small, ping_interval=None) as slow,
            stage.socket() as quick,
            stage.socket() as speaking,
        ):
            await slow.subscribe("/default/x")
            await quick.subscribe("/default/x")
            slow.connection.transport.pause_reading()
            held = 0
            for number in range(60):
                await speaking.publish("/default/x", event, name=f"p{number}")
                assert len(await quick.hear()) > 200_000
                held = max([held, *(one.outlet.unsent() for one in stage.relay.connections)])
            assert held <= 1_000_000 + 2 * 200_000
            cut = [fact for fact in stage.journal.of("relay.connection.closed") if fact["reason"]]
            assert [(fact["reason"], fact["code"]) for fact in cut] == [("slow", 1006)]
            assert 0 < cut[0]["lost"] <= cut[0]["delivered"] < 60
            slow.connection.transport.resume_reading()
            assert await slow.ended() == (None, "")
            assert "publish_success" in await quick.publish("/default/x", "1")


async def test_who_says_goodbye_and_does_not_read_is_not_kept_for_ever(tmp_path, monkeypatch):
    async with start(tmp_path, budgets=Budgets(close=0.1)) as stage:
        reader, writer = await upgrade(stage)
        frame = {"type": "subscribe", "id": "s", "channel": "default/x", "authorization": KEY}
        writer.write(masked(1, json.dumps(frame, separators=(",", ":")).encode()))
        await reader.readuntil(b"subscribe_success")
        writer.transport.pause_reading()
        (connection,) = stage.relay.connections
        for _ in range(60):
            await stage.post("/default/x", json.dumps("x" * 200_000))
        assert 0 < connection.outlet.unsent() < 16_000_000
        lost = asyncio.Event()
        monkeypatch.setattr(Wire, "connection_lost", lambda *_: lost.set())
        writer.write(masked(8, (1000).to_bytes(2, "big")))
        closed = await stage.journal.fact("relay.connection.closed", transport="realtime")
        assert (closed["code"], closed["reason"]) == (1000, "")
        assert closed["lost"] > 0
        async with asyncio.timeout(10):
            await lost.wait()
        writer.close()


async def test_a_publisher_that_does_not_read_its_answers_is_cut(tmp_path):
    limits = Limits(event_bytes=1000)
    async with start(tmp_path, limits=limits, unsent_bytes=50_000) as stage:
        _, writer = await upgrade(stage)
        writer.transport.pause_reading()
        frame = {
            "type": "publish",
            "id": "p" * 128,
            "channel": "default/x",
            "events": ["1"] * 5,
            "authorization": KEY,
        }
        publish = masked(1, json.dumps(frame).encode())
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while stage.relay.connections:
                    writer.write(publish * 10)
                    await writer.drain()
                    await asyncio.sleep(0)
        closed = await stage.journal.fact("relay.connection.closed")
        assert (closed["reason"], closed["lost"]) == ("slow", 0)
        writer.transport.abort()


async def test_what_was_delivered_is_written_down_when_a_connection_ends(stage):
    async with stage.socket() as one:
        await one.subscribe("/default/x")
        await one.publish("/default/x", "1", "2", "3")
        for _ in range(3):
            await one.hear()
    closed = await stage.journal.fact("relay.connection.closed")
    (opened,) = stage.journal.of("relay.connection.opened")
    assert (opened["transport"], opened["tls"]) == ("realtime", False)
    assert opened["connection"] == closed["connection"]
    assert (closed["received"], closed["delivered"], closed["lost"]) == (3, 3, 0)
    assert (closed["code"], closed["reason"]) == (1000, "")
