"""Where a debugger attaches: a loopback port for each environment, whichever process is behind it.

::

    editor ──▶ 127.0.0.1:5678 ──▶ the process that serves now, on a port of its own
                   │
                   └ no process yet: the connection waits for one, and the process for the debugger

A process lives as long as its version of the code does. The port stays, so that an editor's
configuration can name it; who attached to a process that has ended attaches again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

_BLOCK_BYTES = 64 * 1024
_UPGRADE = b"upgrade: websocket"
_HEAD_BYTES = 16 * 1024
_FAREWELL = 0.5  # seconds for debugpy to forget a debugger that has gone


def _make_request(command: str, **arguments: object) -> bytes:
    """A request of the Debug Adapter Protocol that comes after any other."""
    members = {"seq": 2**31 - 1, "type": "request", "command": command, "arguments": arguments}
    body = json.dumps(members).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


_DISCONNECT = _make_request("disconnect", terminateDebuggee=False)

OnChange = Callable[[bool], None]
"""Told when the first debugger has come, or the last one gone."""


class DebugDoor:
    """A listening port in front of changing processes; the owner must :meth:`close` it.

    Args:
        asks_first: whether clients ask over HTTP before they attach, as Node's inspector wants it:
            only what becomes a WebSocket is a debugger then. Otherwise they speak the Debug Adapter
            Protocol, and one that leaves without a word is taken leave of: debugpy would keep its
            breakpoints, and stop at them with nobody there to go on.

    Attributes:
        port: the port on 127.0.0.1.
    """

    def __init__(self, *, asks_first: bool) -> None:
        self.port = 0
        self._asks_first = asks_first
        self._server: asyncio.Server | None = None
        self._target: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._conversations: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._sessions = 0
        self._listener: OnChange | None = None

    @property
    def is_attached(self) -> bool:
        """Whether a debugger is connected to a process."""
        return self._sessions > 0

    @property
    def is_awaited(self) -> bool:
        """Whether somebody is connected and waits for a process."""
        return self._waiting > 0

    @property
    def stops_time(self) -> bool:
        """Whether a debugger is connected, to a process or to wait for one."""
        return self.is_attached or self.is_awaited

    async def open(self, port: int) -> None:
        """Listens.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._take, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def listen(self, listener: OnChange | None) -> None:
        """Sets who is told of debuggers; at once, if one is there."""
        self._listener = listener
        if listener is not None and self.is_attached:
            listener(True)

    def lead_to(self, port: int) -> None:
        """From now on leads to the process whose debugger listens on ``port``."""
        if self._target.done():
            self._target = asyncio.get_running_loop().create_future()
        self._target.set_result(port)

    def leave(self, port: int) -> None:
        """The process with that port has ended; who comes now waits for the next one."""
        if self._target.done() and self._target.result() == port:
            self._target = asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Stops listening and cuts what is connected."""
        self._listener = None
        if self._server is not None:
            self._server.close()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            self._conversations.discard(task)
            await _close(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its first byte to its end, on whichever side that comes first."""
        self._waiting += 1
        try:
            head = await self._hear_until_target(reader)
        finally:
            self._waiting -= 1
        if head is None:
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port())
        session = _Session(self._count, asks_first=self._asks_first)
        try:
            session.hear(head)
            inner_writer.write(head)
            to_process = asyncio.create_task(_pass_on(reader, inner_writer, session.hear))
            from_process = asyncio.create_task(_pass_on(inner_reader, writer, None))
            try:
                ways = {to_process, from_process}
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                if not from_process.done() and not self._asks_first:
                    inner_writer.write(_DISCONNECT)
                    await asyncio.wait({from_process}, timeout=_FAREWELL)
            finally:
                for way in (to_process, from_process):
                    way.cancel()
                await asyncio.gather(to_process, from_process, return_exceptions=True)
        finally:
            session.end()
            await _close(inner_writer)

    async def _hear_until_target(self, reader: asyncio.StreamReader) -> bytes | None:
        """What was sent before there was a process; None if the client has gone."""
        head = bytearray()
        while not self._target.done():
            reading = asyncio.create_task(reader.read(_BLOCK_BYTES))
            waited: set[asyncio.Future[Any]] = {reading, self._target}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                continue
            block = reading.result()
            if not block or len(head) > _HEAD_BYTES:
                return None
            head += block
        return bytes(head)

    def _port(self) -> int:
        return self._target.result()

    def _count(self, change: int) -> None:
        was_attached = self.is_attached
        self._sessions += change
        if self._listener is not None and was_attached != self.is_attached:
            self._listener(self.is_attached)


class _Session:
    """What one connection is: a debugger, or somebody who only asks."""

    def __init__(self, count: Callable[[int], None], *, asks_first: bool) -> None:
        self._count = count
        self._is_begun = False
        self._head = bytearray()
        if not asks_first:
            self._begin()

    def hear(self, block: bytes) -> None:
        """Looks at what the client sends, until it is known what it is."""
        if self._is_begun or len(self._head) > _HEAD_BYTES:
            return
        self._head += block
        if _UPGRADE in self._head.lower():
            self._begin()

    def end(self) -> None:
        """The connection has ended."""
        if self._is_begun:
            self._count(-1)

    def _begin(self) -> None:
        self._is_begun = True
        self._count(1)


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    hear: Callable[[bytes], None] | None,
) -> None:
    while block := await reader.read(_BLOCK_BYTES):
        if hear is not None:
            hear(block)
        writer.write(block)
        await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()
