"""The first bytes of a connection: upgrades plainly written, and everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket

import pytest

from event_protocol.handshake import encode_header, offer
from relay.config import Budgets
from relay.heads import HEAD_BYTES
from relay.usher import Usher, Waiting, Wire
from tests.shell.relay_stage import KEY, masked, start

PLAIN = {
    "first": "GET /event/realtime HTTP/1.1",
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": ", ".join(offer(KEY)),
}
INIT = masked(1, b'{"type":"connection_init"}')


def upgrade(*more, **changed):
    said = {**PLAIN, **{name.replace("_", "-"): value for name, value in changed.items()}}
    first = said.pop("first")
    lines = [f"{name}: {value}" for name, value in said.items() if value is not None]
    return "\r\n".join([first, *lines, *more, "", ""]).encode("latin-1")


class Counting:
    """Tells how many requests aiohttp saw."""

    def __init__(self, stage):
        self.count = 0
        front = stage.relay._front
        handler = front.request_handler

        async def counting(request):
            self.count += 1
            return await handler(request)

        front.request_handler = counting


@pytest.fixture
async def stage(tmp_path):
    async with start(tmp_path) as stage:
        yield stage


async def dial(stage, *pieces):
    """What is answered to these bytes, sent one after the other, and the connection."""
    reader, writer = await asyncio.open_connection("localhost", stage.relay.plain_port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        for _ in range(4):
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    return head, reader, writer


async def leave(writer):
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


ALIKE = {
    "plain": (upgrade(), True),
    "names in any case": (upgrade(Host=None, hOST="localhost"), True),
    "a query": (upgrade(first="GET /event/realtime?a=b HTTP/1.1"), True),
    "another host": (upgrade(Host="example.com:8443"), True),
    "offers in two headers": (
        upgrade(f"Sec-WebSocket-Protocol: {encode_header(KEY)}", **{
            "Sec-WebSocket-Protocol": "aws-appsync-event-ws"
        }),
        True,
    ),
    "an accent": (upgrade("X-A: \xfc"), False),
    "a long header": (upgrade(f"X-A: {'x' * HEAD_BYTES}"), False),
    "a length": (upgrade("Content-Length: 0"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
async def test_an_upgrade_opens_whichever_way_it_goes(stage, name):
    said, is_short = ALIKE[name]
    counting = Counting(stage)
    head, reader, writer = await dial(stage, said)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Protocol: aws-appsync-event-ws\r\n" in head
    writer.write(INIT)
    async with asyncio.timeout(10):
        assert b'"connection_ack"' in await reader.readuntil(b"}")
    assert (counting.count == 0) is is_short
    await leave(writer)
    assert (await stage.journal.fact("relay.connection.closed"))["transport"] == "realtime"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (upgrade(Sec_WebSocket_Key="short"), 400),
        (upgrade(Sec_WebSocket_Version="12"), 400),
        (upgrade(Connection="keep-alive"), 400),
        (upgrade(first="POST /event/realtime HTTP/1.1"), 400),
        (upgrade(Upgrade=None), 404),
        (upgrade(Upgrade="h2c"), 404),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"nonsense\r\n\r\n", 400),
    ],
)
async def test_what_opens_nothing_is_answered_by_http(stage, said, status):
    head, _, writer = await dial(stage, said)
    assert int(head.split()[1]) == status
    await leave(writer)
    assert not stage.relay.connections


async def test_frames_may_come_with_the_upgrade_and_the_upgrade_in_pieces(stage):
    whole = upgrade() + INIT + masked(9, b"x")
    for at in (len(upgrade()), len(whole), 30, len(upgrade()) + 3):
        head, reader, writer = await dial(stage, whole[:at], whole[at:])
        assert b" 101 " in head
        async with asyncio.timeout(10):
            said = b""
            while not (b"\x8a\x01x" in said and b'"connection_ack"' in said):
                said += await reader.readexactly(1)
        await leave(writer)


async def test_a_connection_on_which_nothing_comes_is_ended(tmp_path):
    async with start(tmp_path, budgets=Budgets(idle=0.05)) as stage:
        reader, writer = await asyncio.open_connection("localhost", stage.relay.plain_port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        assert not len(stage.relay._front._waiting)
        writer.close()


async def test_connections_on_which_nothing_came_end_with_the_relay(stage):
    reader, writer = await asyncio.open_connection("localhost", stage.relay.plain_port)
    while not len(stage.relay._front._waiting):  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0)
    async with asyncio.timeout(5):  # less than what a connection may wait
        await stage.relay.drain()
        assert await reader.read() == b""
    writer.close()


async def test_no_task_is_left_of_a_client_that_does_not_answer_the_drain(tmp_path, caplog):
    tasks = len(asyncio.all_tasks())
    async with start(tmp_path, budgets=Budgets(drain=0.05, close=5.0)) as stage:
        _, _, writer = await dial(stage, upgrade())
        await stage.relay.drain()
        (drained,) = stage.journal.of("relay.drained")
        assert (drained["connections"], drained["aborted"]) == (1, 1)
        assert stage.journal.facts[-1][0] == "relay.drained"  # the connection's line came before
        assert len(stage.journal.of("relay.connection.closed")) == 1
    gc.collect()
    assert len(asyncio.all_tasks()) == tasks
    assert not caplog.records
    writer.close()


async def test_an_operation_that_never_ends_does_not_outlive_the_relay(tmp_path, monkeypatch):
    tasks = len(asyncio.all_tasks())
    async with start(tmp_path, budgets=Budgets(drain=0.05)) as stage:
        _, _, writer = await dial(stage, upgrade())
        (link,) = stage.relay.connections
        begun = asyncio.Event()

        async def take_for_ever(*_):
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(type(link), "_take", take_for_ever)
        writer.write(INIT)
        await begun.wait()
        async with asyncio.timeout(5):
            await stage.relay.drain()
        assert len(stage.journal.of("relay.connection.closed")) == 1
        writer.close()
    assert len(asyncio.all_tasks()) == tasks


async def test_a_frame_is_sent_at_once_also_on_a_socket_that_names_no_protocol():
    """A socket that came from an inherited one names none, and asyncio then leaves Nagle on."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        client = socket.create_connection(door.getsockname())
        accepted, _ = door.accept()
    assert accepted.proto == 0
    with client, accepted:
        accepted.setblocking(False)
        waiting = Waiting(60.0)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Usher(lambda *_: None, waiting), accepted
        )
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        waiting.close()


def test_bytes_that_come_before_anybody_reads_are_kept():
    class Reader:
        def __init__(self):
            self.data = b""

        def feed_data(self, data):
            self.data += data

    wire, reader = Wire(None, b"a"), Reader()
    wire.data_received(b"b")
    wire.set_parser(reader)
    wire.data_received(b"c")
    assert reader.data == b"abc"


async def test_reading_pauses_while_an_operation_waits_and_nothing_is_lost(tmp_path, monkeypatch):
    async with start(tmp_path) as stage:
        _, reader, writer = await dial(stage, upgrade())
        (link,) = stage.relay.connections
        going_on = asyncio.Event()
        take = type(link)._take

        async def take_late(self, text):
            await going_on.wait()
            await take(self, text)

        monkeypatch.setattr(type(link), "_take", take_late)
        sent = 0
        frame = masked(1, json.dumps({"type": "ka", "x": "y" * 1000}).encode())
        while link._transport.is_reading():
            writer.write(frame * 20)
            sent += 20
            for _ in range(4):
                await asyncio.sleep(0)
            assert sent < 10_000
        going_on.set()
        writer.write(INIT)
        async with asyncio.timeout(10):
            assert b'"connection_ack"' in await reader.readuntil(b"}")
        assert link._transport.is_reading()
        await leave(writer)
