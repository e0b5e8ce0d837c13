"""A WebSocket by hand that counts how often a word comes in, and can stop reading."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from bench.subjects import API_KEY

AUTHORIZATION = {"host": "localhost", "x-api-key": API_KEY}
CHANNEL = "/default/bench"


class CountingSocket(asyncio.Protocol):
    """One connection to a server of Events.

    Args:
        word: what is counted; it may be cut in two by the network.

    Attributes:
        count: how often the word has come.
        is_open: set when the first bytes have come.
        is_lost: set when the connection has ended.
    """

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._rest = b""
        self._wanted = 0
        self._reached = asyncio.Event()
        self.count = 0
        self.is_open = asyncio.Event()
        self.is_lost = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        token = base64.urlsafe_b64encode(json.dumps(AUTHORIZATION).encode()).rstrip(b"=")
        transport.write(
            b"GET /event/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: aws-appsync-event-ws, header-" + token + b"\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self.is_open.set()
        data = self._rest + data
        self.count += data.count(self._word)
        self._rest = data[-len(self._word) + 1 :]
        if self.count >= self._wanted:
            self._reached.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost.set()
        self._reached.set()

    def say(self, **frame: Any) -> None:
        """Sends one frame, with a mask that changes nothing."""
        text = json.dumps(frame, separators=(",", ":")).encode()
        size = len(text)
        if size < 126:
            length = bytes((0x80 | size,))
        elif size < 1 << 16:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
        self.transport.write(b"\x81" + length + bytes(4) + text)

    def subscribe(self, name: str) -> None:
        self.say(type="subscribe", id=name, channel=CHANNEL, authorization=AUTHORIZATION)

    def publish(self, event: str) -> None:
        self.say(
            type="publish",
            id="p" * 36,
            channel=CHANNEL,
            events=[event],
            authorization=AUTHORIZATION,
        )

    def close(self) -> None:
        """Says goodbye; the server ends the connection."""
        self.transport.write(b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big"))

    async def hears(self, wanted: int) -> None:
        """Returns when the word has come so often.

        Raises:
            ConnectionError: the connection ended before.
        """
        self._wanted = wanted
        self._reached.clear()
        if self.count < wanted and not self.is_lost.is_set():
            await self._reached.wait()
        if self.count < wanted:
            raise ConnectionError(f"heard {self.count} of {wanted}")


async def dial(port: int, word: bytes) -> CountingSocket:
    """An open connection that counts a word."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: CountingSocket(word), "127.0.0.1", port)
    await socket.is_open.wait()
    return socket


def make_event(size: int) -> str:
    """A JSON text of so many bytes as it stands in its frame."""
    return json.dumps({"s": "x" * (size - 12)})
