"""HTTP/1.1 as runtimes and extensions speak it: one connection, one request after the other.

Two things are needed here that servers for the web leave out: the *trailers* behind a chunked body,
by which a runtime tells that its stream broke (AWS Lambda developer guide, "Building a custom
runtime"), and a body that is handed over while it still arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

# The X-Ray cause travels in a header of up to 1 MiB (awslambdaric, lambda_runtime_client).
MAX_HEAD_BYTES = 1024 * 1024 + 64 * 1024
_PIECE_BYTES = 64 * 1024
# What is left of a body that was refused is read, so that its sender sees the refusal; not for ever
_LINGER_BYTES = 64 * 1024 * 1024
_BREAKS = (EOFError, OSError, asyncio.LimitOverrunError)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyBroken(Exception):
    """A body ended before it was complete."""


class MalformedRequest(Exception):
    """What came is no request; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered.

    Attributes:
        status: such as 200.
        body: its bytes; the length is told by a header.
        headers: all others.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, is_last: bool = False) -> bytes:
        """The bytes on the wire; ``is_last`` when the connection is closed behind them."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines.append(f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {_one_line(value)}" for name, value in self.headers.items()]
        if is_last:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body


class Body:
    """A body on its way in; iterate over it, or :meth:`skip` what is left.

    Attributes:
        announced: the length that was told, None for a chunked one.
        trailers: what followed a chunked body, names in lower case; empty until it was read.
        is_complete: whether all of it was read.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        *,
        headers: Mapping[str, str],
        go_ahead: Callable[[], None],
    ) -> None:
        self.trailers: dict[str, str] = {}
        is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self.announced = None if is_chunked else _read_length(headers)
        self.is_complete = self.announced == 0
        self._reader = reader
        self._left = self.announced or 0  # of the body, or of the current chunk
        self._waits_for_go = headers.get("expect", "").lower() == "100-continue"
        self._go_ahead = go_ahead

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces as they arrive.

        Raises:
            BodyBroken: the connection ended, or the chunks are none.
        """
        if self._waits_for_go:
            self._waits_for_go = False
            self._go_ahead()
        while not self.is_complete:
            try:
                piece = await self._piece()
            except (*_BREAKS, ValueError, MalformedRequest) as error:
                raise BodyBroken(str(error)) from error
            if piece:
                yield piece

    async def skip(self) -> bool:
        """Reads what is left; whether the connection can be used on."""
        if self._waits_for_go and not self.is_complete:
            return False  # its sender waits for a word that will not come
        left = _LINGER_BYTES
        with contextlib.suppress(BodyBroken):
            async for piece in self:
                left -= len(piece)
                if left < 0:
                    return False
        return self.is_complete

    async def _piece(self) -> bytes:
        """The next bytes; none at a chunk's border and at the end."""
        if not self._left and self.announced is None:
            await self._begin_chunk()
            return b""
        piece = await self._reader.read(min(self._left, _PIECE_BYTES))
        if not piece:
            raise EOFError("the connection ended in the middle of a body")
        self._left -= len(piece)
        if not self._left:
            if self.announced is None:
                await self._line()
            else:
                self.is_complete = True
        return piece

    async def _begin_chunk(self) -> None:
        self._left = int((await self._line()).partition(";")[0].strip(), 16)
        if self._left < 0:
            raise ValueError("a chunk has less than no bytes")
        if self._left:
            return
        lines = []
        while line := await self._line():
            lines.append(line)
        self.trailers.update(_read_fields(lines))
        self.is_complete = True

    async def _line(self) -> str:
        line = await self._reader.readuntil(b"\n")
        return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose head has arrived.

    Attributes:
        method: such as ``GET``.
        path: as sent, without a query.
        headers: names in lower case; of a repeated one the values are joined by a comma.
        body: still to be read.
        wants_close: whether the connection ends behind the answer.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Body
    wants_close: bool


Handler = Callable[[Request], Awaitable[Reply]]


class HttpServer:
    """Answers requests on a socket that already listens."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, listening: socket.socket) -> None:
        """Begins to accept connections."""
        self._server = await asyncio.start_server(
            self._connect, sock=listening, limit=MAX_HEAD_BYTES, backlog=64, start_serving=False
        )
        await self._server.start_serving()  # who is cancelled here can still close it

    async def close(self) -> None:
        """Stops listening and cuts what is connected."""
        if self._server is not None:
            self._server.close()
        connections = dict(self._connections)
        for task, writer in connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer_one(reader, writer):
                pass
        except MalformedRequest as error:
            writer.write(Reply(400, str(error).encode()).encode(is_last=True))
        except _BREAKS:
            pass  # the peer has gone: whoever waits for an answer watches its process
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serves one request; whether another may follow."""
        head = await _read_head(reader)
        if head is None:
            return False
        request = parse_request(head, reader, go_ahead=lambda: writer.write(_CONTINUE))
        reply = await self._handler(request)
        writer.write(reply.encode(is_last=request.wants_close))
        await writer.drain()
        return await request.body.skip() and not request.wants_close


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise MalformedRequest("the request breaks off in its head") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedRequest("the head of the request is too long") from error


def parse_request(
    head: bytes, reader: asyncio.StreamReader, *, go_ahead: Callable[[], None]
) -> Request:
    """A request from its head; its body will be read from ``reader``.

    Raises:
        MalformedRequest: it is none.
    """
    first, *lines = head.decode("utf-8", "surrogateescape").lstrip("\r\n").rstrip().split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise MalformedRequest("the first line is not one of HTTP/1.1")
    method, target, version = parts
    headers = _read_fields(lines)
    connection = headers.get("connection", "").lower()
    return Request(
        method=method,
        path=target.partition("?")[0],
        headers=headers,
        body=Body(reader, headers=headers, go_ahead=go_ahead),
        wants_close="close" in connection
        or (version == "HTTP/1.0" and "keep-alive" not in connection),
    )


def _read_fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise MalformedRequest("a header has no name")
        key, value = name.strip().lower(), value.strip()
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return fields


def _read_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not text.isdecimal():
        raise MalformedRequest("Content-Length is not a number")
    return int(text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _one_line(value: str) -> str:
    """A client context may be JSON on many lines; a header may not."""
    return value.replace("\r", " ").replace("\n", " ")
