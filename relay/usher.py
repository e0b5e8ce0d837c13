"""The first bytes of a connection, and where they lead.

::

    accepted ── Usher ──┬─ a plain upgrade to Events ──> Wire ── one task: the WebSocket
                        └─ anything else ─────────────> aiohttp

What aiohttp keeps for a connection is made for requests that follow each other; a WebSocket would
carry it along for hours. So one whose upgrade is plainly written never gets it, which halves the
memory of an idle one. Every other request goes on as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from aiohttp.http_websocket import WebSocketReader
from multidict import CIMultiDict

from relay.heads import END, HEAD_BYTES, read_fields

REALTIME_TARGET = "/event/realtime"  # the query behind it means nothing
_BODY = frozenset({"content-length", "transfer-encoding", "expect"})


class Wire(asyncio.Protocol):
    """An open WebSocket, as its transport sees it; what comes goes to aiohttp's frame parser."""

    __slots__ = ("_reader", "_reading_paused", "_rest", "_transport")

    def __init__(self, transport: asyncio.Transport, rest: bytes) -> None:
        self._transport = transport
        self._reader: WebSocketReader | None = None
        self._reading_paused = False  # the name by which aiohttp's queue asks
        self._rest = rest

    def keep_alive(self, _: bool) -> None:
        """Nothing: no request follows."""

    def set_parser(self, reader: WebSocketReader) -> None:
        """From now on frames are read, those first that came with the upgrade."""
        self._reader = reader
        if self._rest:
            self.data_received(self._rest)
            self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent."""
        if self._reader is None:
            self._rest += data  # the next turn of the loop answers the upgrade
        else:
            self._reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells whoever reads."""
        if self._reader is not None:
            self._reader.feed_eof()

    def pause_reading(self) -> None:
        """More has come than was taken."""
        self._reading_paused = True
        with suppress(RuntimeError):  # it is closing
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Most of it was taken."""
        self._reading_paused = False
        with suppress(RuntimeError):
            self._transport.resume_reading()


class Upgrade:
    """The request that a WebSocket begins with, as far as it is asked about.

    Attributes:
        headers: as sent.
        method: ``GET``.
        protocol: what will read its frames.
        transport: its connection.
    """

    __slots__ = ("headers", "protocol", "transport")

    method = "GET"

    def __init__(
        self, headers: CIMultiDict[str], *, transport: asyncio.Transport, rest: bytes
    ) -> None:
        self.headers = headers
        self.transport = transport
        self.protocol = Wire(transport, rest)


def read_upgrade(data: bytes, transport: asyncio.Transport) -> Upgrade | None:
    """The upgrade that a connection begins with; None where it is none, or anything is odd."""
    end = data.find(END) + len(END)
    if not len(END) <= end <= HEAD_BYTES or not data.startswith(b"GET "):
        return None
    said = read_fields(data[:end])
    if said is None or said[1].partition("?")[0] != REALTIME_TARGET:
        return None
    headers = CIMultiDict(said[2])
    if headers.get("upgrade", "").lower() != "websocket" or len(headers.getall("host", ())) != 1:
        return None
    if any(name in headers for name in _BODY):
        return None
    return Upgrade(headers, transport=transport, rest=data[end:])


class Usher(asyncio.Protocol):
    """Waits for the first bytes of a connection.

    Args:
        show_in: told the connection and its first bytes; sets what reads from then on.
        waiting: all that wait.
    """

    __slots__ = ("_show_in", "_waiting", "since", "transport")

    def __init__(
        self, show_in: Callable[[asyncio.Transport, bytes], None], waiting: Waiting
    ) -> None:
        self._show_in = show_in
        self._waiting = waiting
        self.transport: asyncio.Transport
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits from now on."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # asyncio does so only for a socket that names its protocol, which those that came from
            # an inherited one do not: a frame would wait 40 ms for the client's delayed ACK.
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting.add(self)

    def data_received(self, data: bytes) -> None:
        """Shows the client in."""
        self._waiting.remove(self)
        self._show_in(self.transport, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It said nothing and went."""
        self._waiting.remove(self)


class Waiting:
    """The connections on which nothing has come yet; none waits for ever.

    Args:
        patience: seconds that one may wait; it is looked after four times as often.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._ushers: dict[Usher, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._ushers)

    def add(self, usher: Usher) -> None:
        """Begins to wait."""
        loop = asyncio.get_running_loop()
        usher.since = loop.time()
        self._ushers[usher] = None
        if self._timer is None:
            self._timer = loop.call_later(self._patience / 4, self._look)

    def remove(self, usher: Usher) -> None:
        """Waits no more; harmless the second time."""
        self._ushers.pop(usher, None)

    def close(self) -> None:
        """Ends them all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for usher in tuple(self._ushers):
            usher.transport.abort()
        self._ushers.clear()

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._patience
        for usher in tuple(self._ushers):
            if usher.since > oldest:
                break  # they stand in the order in which they came
            self.remove(usher)
            usher.transport.abort()
        if self._ushers:
            self._timer = loop.call_later(self._patience / 4, self._look)
