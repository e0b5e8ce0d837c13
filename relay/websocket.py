"""The server's half of one WebSocket, below what it speaks: handshake, frames in, the close.

::

    bytes ── aiohttp's frame parser ── Inbox ── a text, and nobody is busy ──> take_at_once
                                             └─ anything else ───────────────> receive()

aiohttp's own class makes a dictionary of headers, a writer, and for each message a future, all for
what nearly every client does alike; its parser, written in C, is kept. Frames that go out are the
hub's, except for the pongs and the close frames of this file.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import cast

from aiohttp import EofStream, WebSocketError, WSCloseCode, WSMessage, WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_websocket import WS_KEY, WebSocketReader, WSMessageNoDecodeText

from relay.usher import Upgrade, Wire

INBOX_BYTES = 1 << 16  # received and not taken, before reading pauses
UNSENT_BYTES = 1 << 16  # that a client has not read, before its pings are not answered any more
KEY_BYTES = 16
VERSION = "13"
NO_CODE = 1005  # a close frame without a code (RFC 6455 section 7.4.1)

_CLOSED = WSMessage(WSMsgType.CLOSED, None, None)

_PINGS = frozenset({WSMsgType.PING, WSMsgType.PONG})

Message = WSMessageNoDecodeText
TakeAtOnce = Callable[[str], bool]


class ServerSocket:
    """One WebSocket.

    Args:
        request: the upgrade.
        protocol: the subprotocol that is named in the 101, if the client offers it.
        frame_bytes: the largest message that is read.
        close_budget: seconds that a client which broke the rules has to answer the close frame.

    Raises:
        ConnectionResetError: the client is gone.
        HTTPBadRequest: the request is no upgrade to a WebSocket.

    Attributes:
        close_code: why it ended, None while it is open.
        transport: for what is written past this object.
    """

    __slots__ = ("_budget", "_handler", "_head", "_inbox", "_reader", "close_code", "transport")

    def __init__(
        self,
        request: web.BaseRequest | Upgrade,
        *,
        protocol: str,
        frame_bytes: int,
        close_budget: float,
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        self.close_code: int | None = None
        self.transport = transport
        self._budget = close_budget
        self._handler = request.protocol
        self._inbox = Inbox(request.protocol, loop=asyncio.get_running_loop())
        self._reader = WebSocketReader(self._inbox, frame_bytes, compress=False, decode_text=True)
        self._head = _make_head(request, protocol)

    def accept(self) -> None:
        """Answers the upgrade; from now on frames are read."""
        self.transport.write(self._head)
        self._handler.keep_alive(False)
        self._handler.set_parser(self._reader)

    async def receive(self, take_at_once: TakeAtOnce | None = None) -> Message:
        """The next message that somebody must act on; pings are answered in here.

        Args:
            take_at_once: handles texts that come while this waits, if it can do so without waiting
                itself; a text for which it says False is returned.

        Returns:
            A text or binary message, or CLOSE from the client, CLOSED when it just went away,
            ERROR when it broke the rules of WebSockets and was sent the close frame that says so.
        """
        inbox = self._inbox
        inbox.take_at_once = take_at_once
        try:
            while (message := await inbox.read()).type in _PINGS:
                if message.type is WSMsgType.PING:
                    self._pong(message.data)
        except EofStream:
            self.close_code = self.close_code or WSCloseCode.ABNORMAL_CLOSURE
            return _CLOSED
        except WebSocketError as error:
            await self._complain(error.code)
            return WSMessage(WSMsgType.ERROR, error, None)
        finally:
            inbox.take_at_once = None
        if message.type is WSMsgType.CLOSE:
            self.close_code = message.data or NO_CODE
        return message

    def stop_taking(self) -> None:
        """Leaves every text to :meth:`receive`."""
        self._inbox.take_at_once = None

    def send_close(self, code: int) -> bool:
        """Sends a close frame; False when nobody is there any more."""
        if self.transport.is_closing():
            return False
        self.transport.write(b"\x88\x02" + int(code).to_bytes(2, "big"))
        return True

    def _pong(self, payload: bytes) -> None:
        """Answers a ping, unless the client does not read what it asks for."""
        if self.transport.get_write_buffer_size() <= UNSENT_BYTES:
            self.transport.write(bytes((0x8A, len(payload))) + payload)

    async def _complain(self, code: int) -> None:
        """Says what was wrong, and lets the client answer that."""
        self.close_code = code
        if not self.send_close(code):
            return
        try:
            async with asyncio.timeout(self._budget):
                while (await self._inbox.read()).type is not WSMsgType.CLOSE:
                    pass
        except (TimeoutError, EofStream, WebSocketError):
            return


class Inbox(WebSocketDataQueue):
    """What the parser has read and nobody has taken.

    Attributes:
        take_at_once: takes a text before anybody is woken for it, while that overtakes nothing.
    """

    __slots__ = ("take_at_once",)

    def __init__(
        self, protocol: web.RequestHandler | Wire, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(cast("BaseProtocol", protocol), INBOX_BYTES, loop=loop)
        self.take_at_once: TakeAtOnce | None = None

    def feed_data(self, data: Message, size: int) -> None:
        """Takes one message from the parser."""
        take = self.take_at_once
        if take is not None and data[0] is WSMsgType.TEXT and not self._buffer:
            try:
                if take(data[1]):
                    return
            except Exception as error:  # a defect of ours: whoever receives raises it
                self.set_exception(error)
                return
        super().feed_data(data, size)


class Over(web.StreamResponse):
    """What aiohttp is given when all is over: there is nothing left to send."""

    @property
    def keep_alive(self) -> bool | None:
        """The connection carries no request after a WebSocket."""
        return False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Sends nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends nothing."""


def _make_head(request: web.BaseRequest | Upgrade, protocol: str) -> bytes:
    """The 101 (RFC 6455 section 4.2); it names what the client offered, and nothing else.

    Raises:
        HTTPBadRequest: the request is no upgrade.
    """
    headers = request.headers
    if request.method != "GET" or "upgrade" not in headers.get("Connection", "").lower():
        raise web.HTTPBadRequest(text="An upgrade is a GET with Connection: Upgrade.")
    if headers.get("Sec-WebSocket-Version", "") != VERSION:
        raise web.HTTPBadRequest(text=f"The version of WebSockets must be {VERSION}.")
    key = headers.get("Sec-WebSocket-Key", "").encode("utf-8", "surrogateescape")
    try:
        is_key = len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except binascii.Error:
        is_key = False
    if not is_key:
        raise web.HTTPBadRequest(text=f"Sec-WebSocket-Key must be {KEY_BYTES} bytes in base64.")
    offered = ",".join(headers.getall("Sec-WebSocket-Protocol", ())).split(",")
    proof = base64.b64encode(hashlib.sha1(key + WS_KEY, usedforsecurity=False).digest()).decode()
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        f"Sec-WebSocket-Accept: {proof}\r\n"
    )
    if any(name.strip() == protocol for name in offered):
        head += f"Sec-WebSocket-Protocol: {protocol}\r\n"
    return f"{head}\r\n".encode()
