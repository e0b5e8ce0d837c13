"""WebSockets below what they carry: handshake, order, pings, broken rules, the close."""

import asyncio
import json

import pytest
import pytest_asyncio

from event_protocol.handshake import offer
from relay.hub import PENDING_BYTES
from relay.websocket import UNSENT_BYTES
from tests.shell.relay_stage import KEY, masked, start, upgrade

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest_asyncio.fixture
async def stage(tmp_path):
    async with start(tmp_path) as running:
        yield running


async def read_frame(reader):
    """Opcode and payload of the next frame; a server's is never masked."""
    async with asyncio.timeout(10):
        first, length = await reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await reader.readexactly(2), "big")
        return first & 15, await reader.readexactly(length)


def say(**frame):
    return masked(TEXT, json.dumps(frame).encode())


def subscribe(channel="/default/a", name="s"):
    return say(type="subscribe", id=name, channel=channel, authorization=KEY)


def publish(number, channel="/default/a"):
    event = json.dumps(number)
    return say(type="publish", id=f"p{number}", channel=channel, events=[event], authorization=KEY)


async def test_frames_of_one_packet_are_handled_in_their_order(stage):
    reader, writer = await upgrade(stage)
    writer.write(publish(9))  # later ones are handled at once, and must not overtake for that
    await read_frame(reader)
    writer.write(subscribe() + b"".join(map(publish, range(5))) + subscribe(name="t") + publish(5))
    heard = [json.loads((await read_frame(reader))[1]) for _ in range(2 + 6 + 5 + 2)]
    of = [one["id"] for one in heard if one["type"] != "data"]
    assert of == ["s", "p0", "p1", "p2", "p3", "p4", "t", "p5"]
    assert [one["event"] for one in heard if one.get("id") == "s" and "event" in one] == list(
        "012345"
    )
    assert [one["event"] for one in heard if one.get("id") == "t" and "event" in one] == ["5"]
    writer.close()


async def test_a_ping_between_publishes_is_answered_and_stops_nothing(stage):
    reader, writer = await upgrade(stage)
    writer.write(publish(1))
    await read_frame(reader)
    writer.write(masked(PING, b"are you there") + publish(2) + masked(PONG, b"") + publish(3))
    frames = [await read_frame(reader) for _ in range(3)]
    assert (PONG, b"are you there") in frames
    answers = [json.loads(payload)["id"] for opcode, payload in frames if opcode == TEXT]
    assert answers == ["p2", "p3"]
    writer.close()


async def test_pings_of_a_client_that_does_not_read_pile_up_no_pongs(stage):
    _, writer = await upgrade(stage)
    (link,) = stage.relay.connections
    ping = masked(PING, bytes(125))
    for _ in range(200):
        writer.write(ping * 1000)
        await writer.drain()
        if link.outlet.look() > UNSENT_BYTES:
            break
    writer.write(ping * 5000 + publish(1))
    await writer.drain()
    async with stage.socket() as other:  # by then the relay has read what came before
        await other.publish("/default/b", "1")
    assert link.outlet.look() < 2 * UNSENT_BYTES < PENDING_BYTES
    writer.transport.abort()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x09\x80" + bytes(4), 1002),  # a ping in pieces
        (b"\x83\x80" + bytes(4), 1002),  # an opcode that nobody knows
        (b"\xc1\x80" + bytes(4), 1002),  # compressed, which was not agreed on
        (masked(TEXT, b"\xff"), 1007),
        (b"\x81\xff" + (1 << 30).to_bytes(8, "big") + bytes(4), 1009),
    ],
)
async def test_who_breaks_the_rules_is_told_by_a_close_code_and_written_down(stage, sent, code):
    reader, writer = await upgrade(stage)
    writer.write(publish(1))
    await read_frame(reader)
    writer.write(sent)
    assert await read_frame(reader) == (CLOSE, code.to_bytes(2, "big"))
    writer.write(masked(CLOSE, code.to_bytes(2, "big")))
    assert await reader.read() == b""
    assert (await stage.journal.fact("relay.connection.closed"))["code"] == code
    assert not stage.relay.connections
    writer.close()


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"", 1005), ((1000).to_bytes(2, "big"), 1000), ((3001).to_bytes(2, "big") + b"bye", 3001)],
)
async def test_a_clients_close_is_answered_and_its_code_written_down(stage, said, code):
    reader, writer = await upgrade(stage)
    writer.write(publish(1) + masked(CLOSE, said) + publish(2))
    assert json.loads((await read_frame(reader))[1])["id"] == "p1"
    assert (await read_frame(reader))[0] == CLOSE
    assert await reader.read() == b""
    fact = await stage.journal.fact("relay.connection.closed")
    assert (fact["code"], fact["received"]) == (code, 1)
    writer.close()


async def test_what_comes_after_the_relays_goodbye_is_not_done(stage):
    reader, writer = await upgrade(stage)
    writer.write(publish(1))
    await read_frame(reader)
    drained = asyncio.create_task(stage.relay.drain())
    assert await read_frame(reader) == (CLOSE, (1001).to_bytes(2, "big"))
    writer.write(publish(2) + masked(CLOSE, (1001).to_bytes(2, "big")))
    assert await reader.read() == b""
    await drained
    fact = await stage.journal.fact("relay.connection.closed")
    assert (fact["code"], fact["received"]) == (1001, 1)
    writer.close()


async def test_a_client_that_just_goes_away_is_written_down_with_1006(stage):
    _, writer = await upgrade(stage)
    writer.transport.abort()
    assert (await stage.journal.fact("relay.connection.closed"))["code"] == 1006


async def test_what_a_refused_client_says_is_not_done(stage):
    async with stage.socket() as listener:
        await listener.subscribe("/default/*")
        await listener.publish("/default/a", "0")  # so that the key is known to publish there
        reader, writer = await upgrade(stage, *offer({"x-api-key": "da2-wrong"}))
        writer.write(publish(1) * 3)
        assert json.loads((await read_frame(reader))[1])["type"] == "connection_error"
        writer.write(publish(2) * 3)
        assert (await read_frame(reader))[0] == CLOSE
        await listener.hear()
        await listener.publish("/default/a", "3")
        assert json.loads(await listener.hear())["event"] == "3"
        writer.close()


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ("Sec-WebSocket-Key", None),
        ("Sec-WebSocket-Key", "short"),
        ("Sec-WebSocket-Key", "not base64 at all!!!"),
        ("Sec-WebSocket-Version", "12"),
        ("Connection", "keep-alive"),
    ],
)
async def test_what_is_no_upgrade_is_refused_with_400(stage, changed, value):
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    headers = {**headers, changed: value}
    reader, writer = await asyncio.open_connection("localhost", stage.relay.plain_port)
    lines = ["GET /event/realtime HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {text}" for name, text in headers.items() if text is not None]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 400 " in answer
    assert b"x-amzn-ErrorType: BadRequestException" in answer
    writer.close()
