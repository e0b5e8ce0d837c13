"""A relay in this process, on real loopback sockets, and clients that say exactly what is told."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection

from event_protocol.handshake import offer
from event_protocol.limits import Limits
from natless.certificates import Authority, aws_names
from relay.auth.api_key import ApiKey
from relay.clock import HandMovedClock, Timer
from relay.config import ApiConfig, Budgets, Listen, NamespaceConfig, RelayConfig
from relay.journal import MemoryJournal
from relay.service import Relay

LABEL = "abcdefghijklmnopqrstuvwxyz"
HTTP_HOST = f"{LABEL}.appsync-api.us-east-1.amazonaws.com"
API_KEY = "da2-00000000000000000000000000"
KEY = {"x-api-key": API_KEY}
ANSWER_BUDGET = 10.0  # seconds
UNLIMITED = {"max_size": None, "max_queue": None}  # no test wants the client to stop reading
DENIED = {
    "errorType": "UnauthorizedException",
    "message": "You are not authorized to make this call.",
}


class WatchedJournal(MemoryJournal):
    """Keeps facts and tells when one has come."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def record(self, kind: str, **data: Any) -> None:
        super().record(kind, **data)
        self._news.set()

    async def fact(self, kind: str, **wanted: Any) -> Mapping[str, Any]:
        """The first fact of this kind with these members, as soon as it is there."""
        async with asyncio.timeout(ANSWER_BUDGET):
            while not (found := [one for one in self.of(kind) if {**one, **wanted} == one]):
                self._news.clear()
                await self._news.wait()
        return found[0]


class WatchedClock(HandMovedClock):
    """A clock that is moved by hand and tells who begins to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        self._news.set()
        return super().call_at(when, action)

    async def is_waited_for(self, count: int) -> None:
        """Returns when so many actions wait for it."""
        async with asyncio.timeout(ANSWER_BUDGET):
            while self.waiting < count:
                self._news.clear()
                await self._news.wait()


def api_config(**changes: Any) -> ApiConfig:
    """One API with one key and the namespaces ``default`` and ``other``."""
    said = {
        "label": LABEL,
        "api_keys": (ApiKey(API_KEY),),
        "namespaces": (NamespaceConfig(name="default"), NamespaceConfig(name="other")),
    }
    return ApiConfig(**{**said, **changes})


def relay_config(
    directory: Path,
    *,
    api: ApiConfig | None = None,
    limits: Limits | None = None,
    budgets: Budgets | None = None,
    **changes: Any,
) -> RelayConfig:
    """A TLS port and a plain port on loopback, both free ones."""
    authority = Authority.for_user(directory / "ca")
    served = authority.issue([*aws_names("us-east-1"), "localhost"], directory=directory)
    return RelayConfig(
        listen=Listen(plain_port=0, certificate=served.certificate, key=served.key),
        apis=(api or api_config(),),
        limits=limits or Limits(),
        budgets=budgets or Budgets(refusal=0.05),
        **changes,
    )


@dataclass
class Stage:
    """A running relay and the ways to it."""

    relay: Relay
    journal: WatchedJournal
    tls: ssl.SSLContext

    @asynccontextmanager
    async def socket(
        self,
        authorization: dict[str, str] | None = KEY,
        *,
        is_plain: bool = True,
        **options: Any,
    ) -> AsyncIterator[Socket]:
        """An open WebSocket; without ``authorization`` only the protocol's name is offered."""
        offered = ["aws-appsync-event-ws"] if authorization is None else offer(authorization)
        if is_plain:
            url = f"ws://localhost:{self.relay.plain_port}/event/realtime"
        else:
            url = f"wss://localhost:{self.relay.port}/event/realtime"
            options["ssl"] = self.tls
        async with websockets.connect(
            url, **{"subprotocols": offered, "compression": None, **UNLIMITED, **options}
        ) as connection:
            yield Socket(connection)

    @asynccontextmanager
    async def request(
        self, method: str = "POST", path: str = "/event", **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One HTTP request on the plain port and its answer."""
        url = f"http://localhost:{self.relay.plain_port}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, **options) as r:
            yield r

    async def post(self, channel: str, *events: str, **options: Any) -> tuple[int, str]:
        """Publishes over HTTP; status and body of the answer."""
        document = {"channel": channel, "events": events}
        async with self.request(**{"json": document, "headers": KEY, **options}) as response:
            return response.status, await response.text()


@dataclass
class Socket:
    """One end of a WebSocket."""

    connection: ClientConnection

    async def say(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def hear(self) -> str:
        """The next text, exactly as it came."""
        async with asyncio.timeout(ANSWER_BUDGET):
            text = await self.connection.recv()
        assert isinstance(text, str)
        return text

    async def ask(self, **frame: Any) -> str:
        await self.say(**frame)
        return await self.hear()

    async def subscribe(self, channel: str, name: str = "s") -> str:
        return await self.ask(type="subscribe", id=name, channel=channel, authorization=KEY)

    async def publish(self, channel: str, *events: str, name: str = "p") -> str:
        return await self.ask(
            type="publish", id=name, channel=channel, events=events, authorization=KEY
        )

    async def ended(self) -> tuple[int | None, str]:
        """Waits for the end; the close code that came, None if none came, and the reason."""
        async with asyncio.timeout(ANSWER_BUDGET):
            await self.connection.wait_closed()
        close = self.connection.protocol.close_rcvd
        return (None, "") if close is None else (close.code, close.reason)


@asynccontextmanager
async def start(
    directory: Path, *, clock: HandMovedClock | None = None, **changes: Any
) -> AsyncIterator[Stage]:
    """Runs a relay; see :func:`relay_config` for what can be changed."""
    journal = WatchedJournal()
    config = relay_config(directory, **changes)
    tls = ssl.create_default_context(cafile=directory / "ca" / "ca.pem")
    async with Relay(config, journal=journal, clock=clock, rng=Random(1)) as relay:
        yield Stage(relay, journal, tls)


async def upgrade(
    stage: Stage, *protocols: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket by hand, which does nothing by itself; each protocol is a header of its own."""
    reader, writer = await asyncio.open_connection(
        "localhost", stage.relay.plain_port, limit=1 << 20
    )
    lines = [
        "GET /event/realtime HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *(f"Sec-WebSocket-Protocol: {one}" for one in protocols or offer(KEY)),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head
    assert b"Sec-WebSocket-Protocol: aws-appsync-event-ws\r\n" in head
    return reader, writer


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame of less than 64 KiB; its mask changes nothing."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + bytes(4) + payload
