"""The least that answers an unmodified SST bridge: ping at once, then the response."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from event_protocol.live import (
    MessageCode,
    Reassembler,
    decode_init,
    decode_next,
    decode_packet,
    dev_channel,
    encode_packet,
    split,
    worker_channel,
)
from tests.golden.relay import API_KEY, LABEL, REGION

HOST = f"{LABEL}.appsync-api.{REGION}.amazonaws.com"
AUTHORIZATION = {"host": HOST, "x-api-key": API_KEY}
READY_BUDGET = 10.0  # seconds until subscribed
MAX_MESSAGE_BYTES = 8 << 20


class EchoWorker:
    """Answers every invocation with its own event. Made by :func:`open_worker`.

    Attributes:
        inits: environments that bridges announced, by worker.
    """

    def __init__(self, port: int, ca: Path) -> None:
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._count = 0
        self.inits: dict[str, dict[str, str]] = {}
        self.subscribed = asyncio.Event()

    async def run(self) -> None:
        """Serves connection after connection."""
        while True:
            with contextlib.suppress(OSError, websockets.WebSocketException):
                async with self._connect() as socket:
                    await self._serve(socket)
            self.subscribed.clear()
            await asyncio.sleep(0.1)

    def _connect(self) -> Any:
        token = base64.urlsafe_b64encode(json.dumps(AUTHORIZATION).encode()).decode().rstrip("=")
        return websockets.connect(
            f"wss://localhost:{self._port}/event/realtime",
            ssl=self._tls,
            subprotocols=[
                websockets.Subprotocol("aws-appsync-event-ws"),
                websockets.Subprotocol(f"header-{token}"),
            ],
            compression=None,
            max_size=None,
        )

    async def _serve(self, socket: ClientConnection) -> None:
        channel = dev_channel("app", "dev")
        frame = {"type": "subscribe", "id": "dev", "channel": channel}
        await socket.send(json.dumps(frame | {"authorization": AUTHORIZATION}))
        messages = Reassembler(max_buffered_packets=1000, max_message_bytes=MAX_MESSAGE_BYTES)
        async for text in socket:
            heard = json.loads(text)
            if heard["type"] == "subscribe_success":
                self.subscribed.set()
            elif heard["type"] == "data":
                packet = decode_packet(heard["event"])
                if packet.source != "dev" and (message := messages.receive(packet)) is not None:
                    await self._take(socket, message)

    async def _take(self, socket: ClientConnection, message: Any) -> None:
        if message.code == MessageCode.INIT:
            body = decode_init(message.body)
            self.inits[message.source] = dict(body.environment)
        elif message.code == MessageCode.NEXT:
            event = decode_next(message.body)
            request_id = event.headers["lambda-runtime-aws-request-id"]
            self._count += 1
            ping_id = f"{self._count:024x}"
            await self._send(socket, message.source, MessageCode.PING, ping_id, b"{}\n")
            await self._send(socket, message.source, MessageCode.RESPONSE, request_id, event.body)

    async def _send(
        self, socket: ClientConnection, worker: str, code: MessageCode, identifier: str, body: bytes
    ) -> None:
        for packet in split(code, source="dev", id=identifier, body=body):
            self._count += 1
            frame = {
                "type": "publish",
                "id": f"w{self._count}",
                "channel": worker_channel("app", "dev", worker),
                "events": [encode_packet(packet)],
                "authorization": AUTHORIZATION,
            }
            await socket.send(json.dumps(frame))


@asynccontextmanager
async def open_worker(port: int, ca: Path) -> AsyncIterator[EchoWorker]:
    """A worker that is subscribed, until the block ends."""
    worker = EchoWorker(port, ca)
    task = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(READY_BUDGET):
            await worker.subscribed.wait()
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
