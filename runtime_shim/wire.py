"""A WebSocket over a connected socket: TLS, the upgrade and text messages, each on its own.

``websockets`` does the framing without any I/O; this file carries its bytes. Nothing is queued and
no task runs: texts are handed to a callback as they are read, which is what keeps a warm call fast.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from event_protocol.handshake import redact
from event_protocol.limits import DEFAULT_LIMITS
from event_protocol.phases import Outcome, Phase
from runtime_shim.errors import Obstacle
from runtime_shim.timing import explain_exception

BODY_EXCERPT = 200  # characters of a refusal's body that a span keeps


class Wire(asyncio.Protocol):
    """The protocol between a TLS transport and the channel.

    Args:
        uri: ``wss://host:port/path``, for the request line and the ``Host`` header.
        subprotocols: what the upgrade offers; the credentials are among them.
    """

    def __init__(self, uri: str, subprotocols: Sequence[str]) -> None:
        self._websocket = ClientProtocol(
            parse_uri(uri),
            subprotocols=[Subprotocol(name) for name in subprotocols],
            max_size=DEFAULT_LIMITS.frame_bytes,
        )
        self._transport: asyncio.Transport | None = None
        self._upgraded: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._head = bytearray()  # of the upgrade's answer, should its body never end
        self.on_text: Callable[[str], None] = lambda _: None
        self.on_end: Callable[[Obstacle], None] = lambda _: None
        self.end: Obstacle | None = None

    @classmethod
    async def start_tls(
        cls,
        connection: socket.socket,
        *,
        context: ssl.SSLContext,
        uri: str,
        subprotocols: Sequence[str],
    ) -> Wire:
        """Shakes hands over a connected socket, which belongs to the wire from then on.

        Raises:
            OSError: the handshake failed; ``ssl.SSLError`` is one.
        """
        loop = asyncio.get_running_loop()
        host = parse_uri(uri).host
        _, wire = await loop.create_connection(
            lambda: cls(uri, subprotocols), sock=connection, ssl=context, server_hostname=host
        )
        return wire

    @property
    def is_open(self) -> bool:
        """Whether texts can be sent."""
        return self.end is None and self._websocket.state is State.OPEN

    async def upgrade(self) -> None:
        """Sends the request and waits for 101.

        Raises:
            Obstacle: another status (``http-error``), or the connection ended.
        """
        self._upgraded = asyncio.get_running_loop().create_future()
        self._websocket.send_request(self._websocket.connect())
        self._flush()
        if self.end is not None:
            raise self.end
        await self._upgraded

    def unfinished_refusal(self) -> Obstacle | None:
        """The refusal whose status came but whose body did not end, for who waited long enough."""
        return _refusal_in(bytes(self._head))

    def send_text(self, text: str) -> None:
        """Sends one text message; on a closed wire, nothing: ``on_end`` has said so."""
        if self.is_open:
            self._websocket.send_text(text.encode())
            self._flush()

    async def close(self, seconds: float) -> None:
        """Says farewell, waits at most so long for the peer's, and drops the connection."""
        if self._transport is None:
            return
        self._gone = asyncio.get_running_loop().create_future()
        if self.is_open:
            self._websocket.send_close(1000)
            self._flush()
            try:
                async with asyncio.timeout(seconds):
                    await self._gone
            except TimeoutError:
                pass  # a peer that does not answer is left all the same
        self._transport.abort()

    # --- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport: an encrypted one."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Feeds the framing and hands out what is complete."""
        if self._upgraded is not None and not self._upgraded.done():
            self._head += data[: 4096 - len(self._head)]
        self._websocket.receive_data(data)
        self._flush()
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
            elif isinstance(event, Response):
                self._take_response(event)
        if self._websocket.handshake_exc is not None or self._websocket.close_expected():
            self._finish(None)

    def eof_received(self) -> None:
        """The peer will send no more: the transport closes, then :meth:`connection_lost`."""
        self._websocket.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._websocket.receive_eof()
        self._finish(exc)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    # --- what it means ----------------------------------------------------------------------------

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            elif self._upgraded is None or self._upgraded.done():
                self._transport.close()  # an empty piece is the framing's end of stream

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return  # pings are answered and closes noted by the framing; binary means nothing here
        if frame.fin and not self._pieces:
            self.on_text(bytes(frame.data).decode("utf-8", "replace"))
            return
        self._pieces.append(bytes(frame.data))
        if frame.fin:
            text = b"".join(self._pieces).decode("utf-8", "replace")
            self._pieces.clear()
            self.on_text(text)

    def _take_response(self, response: Response) -> None:
        if self._upgraded is None or self._upgraded.done():
            return
        refusal = self._websocket.handshake_exc
        if refusal is None:
            self._upgraded.set_result(None)
        elif isinstance(refusal, InvalidStatus):
            self._upgraded.set_exception(_describe_status(response.status_code, response.body))
        else:
            self._upgraded.set_exception(
                Obstacle(Outcome.HTTP_ERROR, status=101, message=str(refusal))
            )

    def _finish(self, error: Exception | None) -> None:
        if self.end is not None:
            return
        self.end = self._describe_end(error)
        if self._upgraded is not None and not self._upgraded.done():
            self._upgraded.set_exception(self.end)
        self.on_end(self.end)

    def _describe_end(self, error: Exception | None) -> Obstacle:
        if self._websocket.handshake_exc is not None and self._head:
            return Obstacle(Outcome.HTTP_ERROR, message=str(self._websocket.handshake_exc))
        received = self._websocket.close_rcvd
        if received is not None:
            return Obstacle(Outcome.CLOSED, code=received.code, message=received.reason)
        if error is not None:
            return explain_exception(error, Phase.UPGRADE)
        if self._websocket.parser_exc is not None:
            return Obstacle(Outcome.CLOSED, message=str(self._websocket.parser_exc))
        return Obstacle(Outcome.CLOSED, message="the peer ended the connection")


def _describe_status(status: int, body: bytes | bytearray | None) -> Obstacle:
    text = bytes(body or b"").decode("utf-8", "replace").strip()[:BODY_EXCERPT]
    text = redact(text)  # a peer may repeat what it was sent
    return Obstacle(Outcome.HTTP_ERROR, status=status, **({"body": text} if text else {}))


def _refusal_in(head: bytes) -> Obstacle | None:
    """The refusal in the beginning of an answer that is not complete; None if there is none."""
    first = head.split(b"\r\n", 1)[0].split(b" ")
    if len(first) < 2 or not first[0].startswith(b"HTTP/1.") or not first[1].isdigit():
        return None
    return _describe_status(int(first[1]), head.partition(b"\r\n\r\n")[2])
