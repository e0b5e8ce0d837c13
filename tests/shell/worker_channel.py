"""The channel as the worker meets it, on loopback, doing what a test says; and a guest on it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from event_protocol.connection import EventConnection
from event_protocol.frames import (
    Accepted,
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Publish,
    PublishError,
    PublishSuccess,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    WireError,
)
from event_protocol.handshake import SUBPROTOCOL, read_offer
from event_protocol.live import (
    Message,
    MessageCode,
    Packet,
    Reassembler,
    decode_packet,
    encode_init,
    encode_next,
    encode_packet,
    split,
)
from event_protocol.states import Side
from natless.journal import Fact, Journal
from natless.lambda_host.launcher import Launcher
from natless.worker import Worker, WorkerBudgets, WorkerConfig

API_KEY = "da2-abcdefghijklmnopqrstuvwxyz"
GUEST = "0123456789abcdef" * 2


class Channel:
    """One relay's worth of behaviour.

    Attributes:
        offers: the credentials of every upgrade.
        subscribed: the channels that were subscribed to, in order.
        published: what was published, channel and packet, in order.
        refuse_upgrade: the HTTP status of a refused upgrade.
        refuse_init, refuse_subscribe: the error type of a refusal.
        refuse_publish: refusals of the next publishes, one each.
        is_mute: answers no publish.
        is_deaf: answers nothing at all.
        silence: seconds of silence that the ack allows.
    """

    def __init__(self) -> None:
        self.url = ""
        self.offers: list[dict[str, str]] = []
        self.subscribed: list[str] = []
        self.published: list[tuple[str, Packet]] = []
        self.refuse_upgrade: int | None = None
        self.refuse_init = ""
        self.refuse_subscribe = ""
        self.refuse_publish: list[WireError] = []
        self.is_mute = False
        self.is_deaf = False
        self.silence = 300.0
        self._sockets: list[tuple[web.WebSocketResponse, EventConnection]] = []
        self._listeners: list[Callable[[str, Packet], None]] = []
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Channel]:
        app = web.Application()
        app.router.add_get("/event/realtime", self._upgrade)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"ws://{host}:{port}/event/realtime"
        try:
            yield self
        finally:
            await self.drop()
            await runner.cleanup()

    def listen(self, listener: Callable[[str, Packet], None]) -> None:
        self._listeners.append(listener)

    async def push(self, event: str) -> None:
        """Delivers one event to the newest subscriber."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._sockets))
        socket, connection = self._sockets[-1]
        connection.send(Data("worker", event))
        await self._flush(socket, connection)

    async def drop(self) -> None:
        """Cuts every connection without a word."""
        sockets, self._sockets = self._sockets, []
        for socket, _ in sockets:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a change after which ``condition`` holds."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        offer = read_offer(request.headers.getall("Sec-WebSocket-Protocol"))
        self.offers.append(offer.authorization or {})
        await self._tell()
        if self.refuse_upgrade:
            return web.Response(status=self.refuse_upgrade)
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), max_msg_size=0)
        await socket.prepare(request)
        connection = EventConnection(Side.SERVER, now=time.monotonic())
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT or self.is_deaf:
                continue
            for frame in connection.receive_text(message.data, now=time.monotonic()):
                self._answer(frame, socket, connection)
            await self._flush(socket, connection)
            await self._tell()
        if (socket, connection) in self._sockets:
            self._sockets.remove((socket, connection))
        return socket

    def _answer(
        self, frame: object, socket: web.WebSocketResponse, connection: EventConnection
    ) -> None:
        match frame:
            case ConnectionInit() if self.refuse_init:
                connection.send(ConnectionRefused((WireError(self.refuse_init, "no", 401),)))
            case ConnectionInit():
                connection.send(ConnectionAck(self.silence))
            case Subscribe() if self.refuse_subscribe:
                connection.send(SubscribeError(frame.id, (WireError(self.refuse_subscribe),)))
            case Subscribe():
                assert frame.authorization == {"x-api-key": API_KEY}
                connection.send(SubscribeSuccess(frame.id))
                self.subscribed.append(frame.channel)
                self._sockets.append((socket, connection))
            case Publish():
                self._take(frame, connection)

    def _take(self, frame: Publish, connection: EventConnection) -> None:
        if self.refuse_publish:
            connection.send(PublishError(frame.id, (self.refuse_publish.pop(0),)))
            return
        [event] = frame.events
        packet = decode_packet(event)
        self.published.append((frame.channel, packet))
        if not self.is_mute:
            connection.send(PublishSuccess(frame.id, (Accepted("e", 0),)))
        for listener in self._listeners:
            listener(frame.channel, packet)

    async def _flush(self, socket: web.WebSocketResponse, connection: EventConnection) -> None:
        for text in connection.texts_to_send():
            await socket.send_str(text)


class Guest:
    """One execution environment: sends packets, collects the messages it is sent."""

    def __init__(self, channel: Channel, worker_id: str = GUEST) -> None:
        self.worker_id = worker_id
        self.address = f"/sst/app/dev/{worker_id}/in"
        self._channel = channel
        self._reassembler = Reassembler()
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        channel.listen(self._take)

    def _take(self, channel: str, packet: Packet) -> None:
        if channel == self.address and (message := self._reassembler.receive(packet)):
            self._messages.put_nowait(message)

    async def send(self, code: MessageCode, body: bytes, *, chunk: int = 131_072) -> None:
        name = secrets.token_hex(12)
        for packet in split(code, source=self.worker_id, id=name, body=body, chunk=chunk):
            await self._channel.push(encode_packet(packet))

    async def introduce(self, *features: str, function: str = "fn", **environment: str) -> None:
        await self.send(MessageCode.INIT, encode_init(function, environment, features))

    async def invoke(
        self, request_id: str, event: object = None, *, seconds: float = 60.0, **headers: str
    ) -> None:
        fields = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(round((time.time() + seconds) * 1000)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        await self.send(MessageCode.NEXT, encode_next(fields, json.dumps(event).encode()))

    async def message(self) -> Message:
        """The next whole message."""
        return await self._messages.get()

    async def answer(self) -> Message:
        """The next message that is no ping."""
        while (message := await self.message()).code == MessageCode.PING:
            pass
        return message

    @property
    def unread(self) -> int:
        """How many messages wait to be looked at."""
        return self._messages.qsize()


class Facts(list[Fact]):
    """What a worker recorded, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = Journal()
        self.journal.listen(self._take)
        self._arrived = asyncio.Event()

    def _take(self, fact: Fact) -> None:
        self.append(fact)
        self._arrived.set()

    def of(self, kind: str) -> list[Fact]:
        return [fact for fact in self if fact.kind == kind]

    async def news(self) -> None:
        """Returns with the next fact."""
        self._arrived.clear()
        await self._arrived.wait()

    async def wait(self, kind: str, *, count: int = 1) -> Fact:
        """The ``count``-th fact of a kind, now or when it comes."""
        while len(self.of(kind)) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.of(kind)[count - 1]


def worker_for(
    channel: Channel,
    facts: Facts,
    folder: Path,
    *,
    launcher: Launcher | None = None,
    budgets: WorkerBudgets | None = None,
    **options: object,
) -> Worker:
    if "functions" not in options:
        options |= {"folder": folder, "handler": "handler.handler"}
    config = WorkerConfig(
        url=channel.url,
        host="api.example",
        api_key=API_KEY,
        app="app",
        stage="dev",
        budgets=budgets or WorkerBudgets(),
        **options,
    )
    return Worker(config, facts.journal, launcher=launcher)
