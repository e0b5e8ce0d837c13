"""HTTP as runtimes speak it, from bytes that were fed by hand."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natless.lambda_host.http_wire import (
    Body,
    BodyBroken,
    MalformedRequest,
    Reply,
    Request,
    parse_request,
)


def reader(data: bytes, *, ends: bool = True) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    if ends:
        stream.feed_eof()
    return stream


def body(data: bytes, *, ends: bool = True, go: list[str] | None = None, **headers: str) -> Body:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Body(
        reader(data, ends=ends),
        headers=named,
        go_ahead=lambda: (go if go is not None else []).append("go"),
    )


async def read(some: Body) -> bytes:
    return b"".join([piece async for piece in some])


def parse(head: bytes) -> Request:
    return parse_request(head, reader(b""), go_ahead=lambda: None)


async def test_a_body_with_a_length_ends_there():
    some = body(b"12345rest", content_length="5")
    assert await read(some) == b"12345"
    assert (some.announced, some.is_complete) == (5, True)


async def test_without_a_length_there_is_no_body():
    some = body(b"rest")
    assert await read(some) == b""
    assert some.is_complete


async def test_chunks_are_joined_and_what_follows_them_is_kept():
    some = body(
        b"3\r\nabc\r\n2;name=value\r\nde\r\n0\r\n"
        b"Lambda-Runtime-Function-Error-Type: Function.Boom\r\nOther: 1\r\n\r\n",
        transfer_encoding="chunked",
    )
    assert await read(some) == b"abcde"
    assert some.trailers == {"lambda-runtime-function-error-type": "Function.Boom", "other": "1"}
    assert (some.announced, some.is_complete) == (None, True)


async def test_pieces_come_before_the_rest_is_there():
    stream = asyncio.StreamReader()
    some = Body(stream, headers={"transfer-encoding": "chunked"}, go_ahead=lambda: None)
    stream.feed_data(b"3\r\nabc\r\n")
    pieces = aiter(some)
    assert await anext(pieces) == b"abc"
    stream.feed_data(b"0\r\n\r\n")
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"123", {"content_length": "5"}),
        (b"5\r\n123", {"transfer_encoding": "chunked"}),
        (b"3\r\n123\r\n", {"transfer_encoding": "chunked"}),
        (b"0\r\nTrailer: 1\r\n", {"transfer_encoding": "chunked"}),
        (b"xyz\r\n", {"transfer_encoding": "chunked"}),
        (b"-1\r\n", {"transfer_encoding": "chunked"}),
        (b"0\r\nno colon\r\n\r\n", {"transfer_encoding": "chunked"}),
    ],
)
async def test_a_body_that_breaks_off_is_no_body(data, headers):
    with pytest.raises(BodyBroken):
        await read(body(data, **headers))


async def test_what_is_left_of_a_body_can_be_skipped_and_the_connection_used_on():
    some = body(b"4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\nGET", transfer_encoding="chunked")
    assert await anext(aiter(some)) == b"abcd"
    assert await some.skip()
    assert await some._reader.read() == b"GET"


async def test_a_sender_that_waits_for_a_go_ahead_gets_it_only_when_somebody_reads():
    go: list[str] = []
    assert not await body(b"", ends=False, go=go, content_length="3", expect="100-continue").skip()
    assert go == []
    some = body(b"123", go=go, content_length="3", expect="100-continue")
    assert await read(some) == b"123"
    assert go == ["go"]


async def test_a_head_is_taken_apart():
    request = parse(
        b"POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two:  2 \r\nContent-Length: 3\r\n\r\n"
    )
    assert (request.method, request.path) == ("POST", "/a/b")
    assert request.headers == {"host": "x", "x-two": "1, 2", "content-length": "3"}
    assert not request.wants_close


@pytest.mark.parametrize(
    ("version", "connection", "closes"),
    [("1.1", "", False), ("1.1", "close", True), ("1.0", "", True), ("1.0", "keep-alive", False)],
)
async def test_the_connection_ends_when_either_side_means_it(version, connection, closes):
    head = f"GET / HTTP/{version}\r\nConnection: {connection}\r\n\r\n"
    assert parse(head.encode()).wants_close is closes


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused(head):
    with pytest.raises(MalformedRequest):
        parse(head)


def test_a_reply_has_its_length_first_and_no_header_on_two_lines():
    reply = Reply(202, b"ok", {"A": "one\r\ntwo", "B": "ä"})
    assert reply.encode() == (
        "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nA: one  two\r\nB: ä\r\n\r\nok".encode()
    )
    assert Reply(299).encode(is_last=True).endswith(b"\r\nConnection: close\r\n\r\n")


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.integers(1, 50))
def test_any_chunks_in_any_packets_come_out_whole(chunks, size):
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"

    async def run() -> bytes:
        stream = asyncio.StreamReader()
        some = Body(stream, headers={"transfer-encoding": "chunked"}, go_ahead=lambda: None)
        reading = asyncio.create_task(read(some))
        for at in range(0, len(wire), size):
            stream.feed_data(wire[at : at + size])
            await asyncio.sleep(0)
        return await reading

    assert asyncio.run(run()) == b"".join(chunks)
