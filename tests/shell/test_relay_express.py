"""The short way of a publish over HTTP says and does what the long way says and does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from event_protocol.limits import Limits
from relay.auth.providers import LambdaProvider
from relay.express import HEAD_BYTES
from relay.front import UNSENT_BYTES
from tests.shell.relay_stage import API_KEY, WatchedClock, api_config, start

SMALL = Limits(request_bytes=20_000, event_bytes=1000)


class Line:
    """One HTTP connection by hand."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def hear(self):
        """Status, headers in lower case, and body of the next answer."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body

    async def ask(self, *pieces):
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)  # the relay reads this piece before the next one comes
            await asyncio.sleep(0)
        return await self.hear()


class Counted:
    """A relay whose requests are counted that came to aiohttp."""

    def __init__(self, stage):
        self.stage = stage
        self.count = 0
        self.lines = []
        front = stage.relay._front
        handler = front.request_handler

        async def counting(request):
            self.count += 1
            return await handler(request)

        front.request_handler = counting

    async def line(self):
        line = Line(*await asyncio.open_connection("localhost", self.stage.relay.plain_port))
        self.lines.append(line)
        return line

    async def close(self):
        for line in self.lines:
            line.writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await line.writer.wait_closed()

    async def warm_line(self):
        """A connection whose publishes take the short way by now."""
        line = await self.line()
        for _ in range(5):
            before = self.count
            assert (await line.ask(publish("0")))[0] == 200
            if self.count == before:
                return line
        raise AssertionError("nothing takes the short way")


def request(body=b"", *lines, first="POST /event HTTP/1.1", key=API_KEY, length=True):
    said = [first, "Host: localhost", *lines]
    if key is not None:
        said.append(f"x-api-key: {key}")
    if length:
        said.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*said, "", ""]).encode("latin-1") + body


def publish(*events, channel="/default/a", lines=(), **more):
    return request(json.dumps({"channel": channel, "events": events}).encode(), *lines, **more)


@pytest.fixture
async def counted(tmp_path):
    async with start(tmp_path, limits=SMALL) as stage:
        counted = Counted(stage)
        yield counted
        await counted.close()


def alike(answer):
    """An answer without what differs from time to time."""
    status, headers, body = answer
    headers = {k: v for k, v in headers.items() if k not in {"date", "x-amzn-requestid"}}
    return status, headers, re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}", b"ID", body)


async def test_both_ways_answer_alike_and_deliver_in_order(counted):
    async with counted.stage.socket() as listener:
        await listener.subscribe("/default/*")
        cold = await (await counted.line()).ask(publish("1", '"x"'))
        warm = await counted.warm_line()
        before = counted.count
        assert alike(await warm.ask(publish("2", '"x"'))) == alike(cold)
        first, second = [(await warm.ask(publish(str(n))))[1] for n in (3, 4)]
        assert first["x-amzn-requestid"] != second["x-amzn-requestid"]
        assert counted.count == before
        heard = []
        while heard[-1:] != ["4"]:
            heard.append(json.loads(await listener.hear())["event"])
        assert [one for one in heard if one not in ("0", '"x"')] == ["1", "2", "3", "4"]


async def test_over_tls_it_is_the_same(counted):
    stage = counted.stage
    reader, writer = await asyncio.open_connection(
        "localhost", stage.relay.port, ssl=stage.tls, server_hostname="localhost"
    )
    line = Line(reader, writer)
    counted.lines.append(line)
    answers = [await line.ask(publish(str(number))) for number in range(6)]
    assert counted.count < 4
    assert {alike(answer)[2] for answer in answers} == {alike(answers[0])[2]}
    unknown = await line.ask(publish("1", key="da2-wrong"))
    assert (unknown[0], (await line.ask(publish("1")))[0]) == (401, 200)


BODY = json.dumps({"channel": "/default/a", "events": ["1"]}).encode()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
VARIANTS = {
    "wrong key": publish("1", key="da2-wrong"),
    "no key": publish("1", key=None),
    "empty key": publish("1", key=""),
    "six events": publish(*"123456"),
    "no events": publish(),
    "an event that is no JSON": publish("{"),
    "an event that is no text": request(b'{"channel":"/default/a","events":[1]}'),
    "an event too large": publish(json.dumps("x" * 2000), "1"),
    "a body too large": publish("1", json.dumps("x" * 30_000)),
    "no JSON": request(b"{"),
    "an array": request(b"[]"),
    "no body": request(b""),
    "not UTF-8": request(b'{"channel":"/default/a","events":["\xff"]}'),
    "a wildcard": publish("1", channel="/default/*"),
    "unknown namespace": publish("1", channel="/nowhere/a"),
    "the channel written otherwise": publish("1", channel="default/a/"),
    "a query": request(BODY, first="POST /event?x=1 HTTP/1.1"),
    "another path": request(BODY, first="POST /elsewhere HTTP/1.1"),
    "a preflight": request(first="OPTIONS /event HTTP/1.1", key=None, length=False),
    "GET": request(first="GET /event HTTP/1.1", length=False),
    "health": request(first="GET /_natless/health HTTP/1.1", length=False),
    "chunked": request(b"", "Transfer-Encoding: chunked", length=False) + CHUNKED,
    "close": request(BODY, "Connection: close"),
    "keep-alive": request(BODY, "Connection: keep-alive"),
    "HTTP/1.0": request(BODY, first="POST /event HTTP/1.0"),
    "two lengths": request(BODY, "Content-Length: 3"),
    "length and chunked": request(BODY, "Transfer-Encoding: chunked"),
    "a folded line": request(BODY, "X-A: a", " b"),
    "a space in a name": request(BODY, "X A: a"),
    "a line without a colon": request(BODY, "nonsense"),
    "an accent": request(BODY, "X-A: \xfc"),
    "a very long line": request(BODY, f"X-A: {'x' * HEAD_BYTES}"),
    "two keys": request(BODY, "x-api-key: da2-wrong"),
}


@pytest.mark.parametrize("name", VARIANTS)
async def test_whatever_is_asked_a_warm_connection_answers_as_a_new_one(counted, name):
    warm = await counted.warm_line()
    cold = await counted.line()
    answers, ends = [], []
    for line in (cold, warm):
        status, headers, body = alike(await line.ask(VARIANTS[name]))
        if name == "health":
            body = b""
            headers.pop("content-length")
        answers.append((status, headers, body))
        line.writer.write(publish("2"))
        try:
            ends.append((await line.hear())[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            ends.append(None)
    assert answers[0] == answers[1]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", ["wrong key", "GET", "six events", "no JSON", "a preflight"])
async def test_after_an_exception_the_short_way_is_open_again(counted, name):
    warm = await counted.warm_line()
    await warm.ask(VARIANTS[name])
    before = counted.count
    assert (await warm.ask(publish("1")))[0] == 200
    assert counted.count == before


async def test_a_request_in_pieces_goes_the_long_way_and_the_next_one_does_not(counted):
    warm = await counted.warm_line()
    whole = publish("1", '"in pieces"')
    for at in (len(whole) - 1, whole.index(b"\r\n\r\n") + 4):
        before = counted.count
        assert (await warm.ask(whole[:at], whole[at:]))[0] == 200
        assert counted.count == before + 1
        assert (await warm.ask(publish("2")))[0] == 200
        assert counted.count == before + 1
    assert (await warm.ask(whole[:20], whole[20:]))[0] == 200  # a head in pieces
    assert (await warm.ask(publish("3")))[0] == 200


async def test_requests_of_one_packet_are_answered_in_their_order(counted):
    warm = await counted.warm_line()
    unknown = publish("1", key="da2-wrong")
    sent = [publish("1"), publish("2"), unknown, publish("3"), VARIANTS["GET"], publish("4")]
    warm.writer.write(b"".join(sent))
    assert [(await warm.hear())[0] for _ in sent] == [200, 200, 401, 200, 404, 200]


async def test_a_body_that_reads_like_a_publish_is_a_body(counted):
    warm = await counted.warm_line()
    inner = publish("1")
    outer = request(inner)
    warm.writer.write(VARIANTS["GET"] + outer[: -len(inner)])
    assert (await warm.hear())[0] == 404
    status, _, body = await warm.ask(inner)
    assert (status, b"not valid JSON" in body) == (400, True)


async def test_a_publish_waits_for_the_one_before_it_that_is_still_asked_about(tmp_path):
    asked, decided = asyncio.Event(), asyncio.Event()

    async def decide(_):
        asked.set()
        await decided.wait()
        return web.json_response({"isAuthorized": False})

    app = web.Application()
    app.router.add_post("/", decide)
    async with TestServer(app) as server:
        api = api_config(providers=(LambdaProvider(uri=str(server.make_url("/"))),))
        async with start(tmp_path, api=api) as stage:
            counted = Counted(stage)
            warm = await counted.warm_line()
            warm.writer.write(publish("1", lines=("Authorization: token",), key=None))
            await asked.wait()
            async with stage.socket() as listener:
                await listener.subscribe("/default/a")
                warm.writer.write(publish("2"))
                await listener.publish("/default/a", "3")  # by now the relay has read both
                decided.set()
                assert [(await warm.hear())[0] for _ in range(2)] == [401, 200]
                assert [json.loads(await listener.hear())["event"] for _ in range(2)] == ["3", "2"]
            await counted.close()


async def test_a_client_that_does_not_read_piles_up_no_answers(counted):
    warm = await counted.warm_line()
    handler = next(one for one in counted.stage.relay._front.connections if one.transport)
    sent = 0
    burst = publish("1") * 50
    while sent < 3000 and not warm.writer.transport.get_write_buffer_size():
        warm.writer.write(burst)
        sent += 1
        for _ in range(4):
            await asyncio.sleep(0)
    assert warm.writer.transport.get_write_buffer_size() > 0  # the relay does not read on
    assert handler.transport.get_write_buffer_size() < 4 * UNSENT_BYTES
    for _ in range(50 * sent):
        assert (await warm.hear())[0] == 200


async def test_a_namespace_that_is_gone_is_gone_for_warm_connections_too(counted):
    warm = await counted.warm_line()
    registry = counted.stage.relay.registry
    config = next(iter(registry)).config
    registry.put(replace(config, namespaces=config.namespaces[1:]))
    assert (await warm.ask(publish("1")))[0] == 401
    registry.put(config)
    assert (await warm.ask(publish("1")))[0] == 200


async def test_now_and_then_a_request_shows_aiohttp_that_the_connection_is_used(tmp_path):
    clock = WatchedClock()
    async with start(tmp_path, clock=clock) as stage:
        counted = Counted(stage)
        warm = await counted.warm_line()
        before = counted.count
        clock.advance(stage.relay.config.budgets.idle / 2 + 1)
        for _ in range(3):
            assert (await warm.ask(publish("1")))[0] == 200
        assert counted.count == before + 1
        await counted.close()


async def test_warm_connections_end_with_the_relay_and_have_their_line(counted):
    warm = await counted.warm_line()
    await warm.ask(publish("1", "2"))
    await counted.stage.relay.drain()
    assert await warm.reader.read() == b""
    fact = await counted.stage.journal.fact("relay.connection.closed", transport="http")
    assert fact["received"] >= 3
