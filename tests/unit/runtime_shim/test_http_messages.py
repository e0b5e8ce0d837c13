from __future__ import annotations

import asyncio

import pytest

from runtime_shim.http_messages import (
    BODY_BYTES,
    HEAD_BYTES,
    HttpMessage,
    MalformedMessage,
    encode_message,
    read_body,
    read_head,
)


async def read(data: bytes) -> HttpMessage:
    reader = asyncio.StreamReader(limit=HEAD_BYTES)
    reader.feed_data(data)
    reader.feed_eof()
    return await read_body(reader, await read_head(reader))


async def test_a_message_with_a_length() -> None:
    message = await read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A:  b \r\n\r\nabcd")
    assert (message.status, message.body) == (200, b"abc")
    assert message.header("x-a") == "b"
    assert message.headers["X-A"] == "b"


async def test_a_message_in_chunks_with_trailers() -> None:
    message = await read(
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nError-Type: T\r\n\r\n"
    )
    assert message.body == b"abc0123456789"
    assert message.trailers == {"error-type": "T"}


async def test_a_message_without_a_body() -> None:
    assert (await read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).body == b""


async def test_headers_keep_any_bytes_there_and_back() -> None:
    value = "wörd \udcff"
    data = encode_message("HTTP/1.1 200 OK", {"X-Context": value}, b"{}")
    assert b"X-Context: w\xc3\xb6rd \xff\r\n" in data
    message = await read(data)
    assert (message.headers["X-Context"], message.body) == (value, b"{}")


def test_a_header_can_not_begin_another() -> None:
    data = encode_message("HTTP/1.1 200 OK", {"X-Type": "a\r\nX-Evil: b\nc", "X-B": "\ud800"}, b"")
    assert b"X-Type: a  X-Evil: b c\r\n" in data
    assert b"X-B: ?\r\n" in data


@pytest.mark.parametrize(
    ("data", "wants_close"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
async def test_a_sender_may_want_to_close(data: bytes, wants_close: bool) -> None:
    assert (await read(data)).wants_close is wants_close


async def test_the_end_before_a_message_is_no_mistake() -> None:
    with pytest.raises(EOFError):
        await read(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + str(BODY_BYTES + 1).encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"X: " + b"y" * (HEAD_BYTES + 10),
    ],
)
async def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        await read(data)


def test_a_reply_without_a_status_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        _ = HttpMessage("HTTP/1.1", {}).status
