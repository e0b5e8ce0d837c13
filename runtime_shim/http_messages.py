"""HTTP/1.1 messages read from and written to a stream: all the HTTP that the Runtime API needs.

The guest brings no HTTP library. It speaks to one server that is known, and it hosts the same API
for the container's own code; both are whole messages with a length or in chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

HEAD_BYTES = 64 * 1024
"""What a start line and its headers may have together; also what a stream has to buffer."""

BODY_BYTES = 16 * 1024 * 1024
"""What a body may have: Lambda allows 6 MiB, and its Runtime API refuses more by itself."""


class MalformedMessage(ValueError):
    """What was read is no HTTP message, or the connection ended inside one."""


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """A request or a reply.

    Attributes:
        start: the first line.
        headers: names as they were sent; of repeated ones the last.
        body: complete and without its framing.
        trailers: headers behind a chunked body, names in lower case.
    """

    start: str
    headers: Mapping[str, str]
    body: bytes = b""
    trailers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str, default: str = "") -> str:
        """A header's value; names compare without case."""
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), default)

    @property
    def status(self) -> int:
        """The status of a reply.

        Raises:
            MalformedMessage: the start line has none.
        """
        try:
            return int(self.start.split(" ", 2)[1])
        except (IndexError, ValueError) as error:
            raise MalformedMessage("the reply has no status") from error

    @property
    def wants_close(self) -> bool:
        """Whether the sender will take no further message on this connection."""
        return self.header("connection").lower() == "close" or "HTTP/1.0" in self.start


async def read_head(reader: asyncio.StreamReader) -> HttpMessage:
    """A start line and its headers, for :func:`read_body` to complete.

    Raises:
        EOFError: the connection ended before a message began.
        MalformedMessage: it ended inside the head, or this is no HTTP.
        OSError: the connection failed.
    """
    try:
        block = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise EOFError("the connection ended") from error
        raise MalformedMessage("the connection ended inside a head") from error
    except asyncio.LimitOverrunError as error:
        raise MalformedMessage("the head is too long") from error
    start, *lines = block[:-4].decode("utf-8", "surrogateescape").split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedMessage("a header has no colon")
        headers[name.strip()] = value.strip()
    return HttpMessage(start, headers)


async def read_body(reader: asyncio.StreamReader, head: HttpMessage) -> HttpMessage:
    """The whole message whose head was read.

    Raises:
        MalformedMessage: the body's length is none, too large, or more than what came.
        OSError: the connection failed.
    """
    try:
        if "chunked" in head.header("transfer-encoding").lower():
            body, trailers = await _read_chunks(reader)
            return HttpMessage(head.start, head.headers, body, trailers)
        length = _parse_length(head.header("content-length", "0"), base=10)
        body = await reader.readexactly(length) if length else b""
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise MalformedMessage("the connection ended inside a body") from error
    return HttpMessage(head.start, head.headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, str]]:
    pieces: list[bytes] = []
    total = 0
    while True:
        line = await reader.readuntil(b"\r\n")
        size = _parse_length(line.split(b";", 1)[0].decode("latin-1").strip(), base=16)
        if size == 0:
            break
        total += size
        if total > BODY_BYTES:
            raise MalformedMessage("the body is too large")
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    trailers: dict[str, str] = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        trailers[name.strip().lower()] = value.strip()
    return b"".join(pieces), trailers


def _parse_length(text: str, *, base: int) -> int:
    try:
        length = int(text, base)
    except ValueError as error:
        raise MalformedMessage("a length is no number") from error
    if not 0 <= length <= BODY_BYTES:
        raise MalformedMessage("the body is too large")
    return length


def encode_message(start: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A whole message in one piece, its length first among the headers.

    Values come from handlers' exceptions too, so line ends in them become spaces, and what is no
    text at all becomes a question mark.
    """
    lines = [start, f"Content-Length: {len(body)}"]
    lines += [f"{name}: {_one_line(value)}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


def _one_line(value: str) -> str:
    clean = value.replace("\r", " ").replace("\n", " ")
    try:
        clean.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return clean.encode("ascii", "replace").decode()
    return clean
