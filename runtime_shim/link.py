"""The channel as the guest uses it: opened phase by phase, kept warm, heard through one mailbox.

::

    resolve ─ connect ─ tls ─ upgrade ─ init ─ subscribe     each a span with a budget of its own

    publish(text) ──▶ channel ──▶ happenings: what came of a publish, a packet, the end

Happenings are kept only while an invocation listens: what arrives in between answers nothing. The
one exception, a REBOOT, is remembered, because it asks for an INIT before the next event.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections import deque
from typing import Any

from event_protocol.connection import EventConnection, Side
from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import (
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Errors,
    Frame,
    OperationError,
    Publish,
    PublishError,
    PublishSuccess,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
)
from event_protocol.handshake import offer, redact
from event_protocol.live import MessageCode, Packet, decode_packet, dev_channel, worker_channel
from event_protocol.phases import Outcome, Phase
from event_protocol.states import ConnectionState
from runtime_shim.budgets import Allowance, Profile, Wait
from runtime_shim.config import ShimConfig
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.names import resolve
from runtime_shim.routes import Endpoint, Proxy, Route
from runtime_shim.timing import SpanLog
from runtime_shim.tunnel import open_tunnel
from runtime_shim.wire import Wire

SUBSCRIPTION = "guest"
MAILBOX_SIZE = 2_000  # happenings; an answer of 6 MiB has 49 packets

Happening = PublishSuccess | PublishError | OperationError | Packet | Obstacle


class Link:
    """One connection to the channel with one live subscription.

    Use :meth:`open`. A link that ended stays ended: open another.
    """

    def __init__(self, config: ShimConfig, route: Route | None = None) -> None:
        self._config = config
        self.target = (config.route if route is None else route).target
        self._key = {"x-api-key": config.api_key}
        self._channel = dev_channel(config.app, config.stage, config.namespace)
        self._wire: Wire | None = None
        self._end: Obstacle | None = None
        self._happenings: deque[Happening] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._handshake: asyncio.Future[None] | None = None
        self._is_listening = False
        self._opened_wall = time.time()
        self._opened = time.monotonic()
        self._events = EventConnection(Side.CLIENT, now=self._opened)
        self.wants_init = False

    @classmethod
    async def open(
        cls,
        config: ShimConfig,
        *,
        context: ssl.SSLContext,
        allowance: Allowance,
        spans: SpanLog,
        route: Route | None = None,
    ) -> Link:
        """Opens the channel, by the configured way or another, and subscribes to our own.

        Raises:
            PhaseFailed: at the first phase that does not end well; nothing is left open.
        """
        link = cls(config, route)
        try:
            way = config.route if route is None else route
            await _Opening(link, config, route=way, allowance=allowance, spans=spans).run(context)
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def is_open(self) -> bool:
        """Whether the channel can be used, as far as anybody has said.

        A service that was silent for longer than its own acknowledgement allows is gone.
        """
        self._events.tick(now=time.monotonic())
        is_closed = self._events.state is ConnectionState.CLOSED
        return self._wire is not None and self._wire.is_open and not is_closed

    @property
    def age(self) -> float:
        """Seconds since it was opened, those included in which the environment was frozen."""
        return max(time.monotonic() - self._opened, time.time() - self._opened_wall)

    def listen(self) -> None:
        """Begins to keep happenings, for one invocation."""
        self._happenings.clear()
        self._is_listening = True

    def ignore(self) -> None:
        """Stops keeping them."""
        self._is_listening = False
        self._happenings.clear()

    def publish(self, event: str) -> str:
        """Sends one event to the developer's side; the id under which its result will happen."""
        operation = secrets.token_hex(8)
        self._send(Publish(operation, self._channel, (event,), self._key))
        return operation

    def _send(self, frame: Frame) -> None:
        """Sends a frame; on a channel that ended, nothing: its end is what happens next."""
        assert self._wire is not None
        if self._end is not None:
            return
        self._events.send(frame)
        for text in self._events.texts_to_send():
            self._wire.send_text(text)

    async def next_happening(self, seconds: float) -> Happening:
        """The next thing that happens on the channel; its end is the last and happens for ever.

        Raises:
            TimeoutError: nothing happens in so many seconds.
        """
        while not self._happenings:
            if self._end is not None:
                return self._end
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(seconds):
                await self._waiter
        return self._happenings.popleft()

    async def close(self) -> None:
        """Leaves the channel; on a link that ended, only lets go of the connection."""
        if self._wire is not None:
            await self._wire.close(self._config.budgets.link_close)

    # --- what the wire says -----------------------------------------------------------------------

    def attach(self, wire: Wire) -> None:
        """Takes the wire over, before its upgrade."""
        self._wire = wire
        wire.on_text = self._take_text
        wire.on_end = self._take_end
        if wire.end is not None:
            self._take_end(wire.end)

    async def ask(self, frame: Frame) -> None:
        """Sends a frame of the opening and waits for the server's consent.

        Raises:
            Obstacle: the server refuses, or the connection ends.
        """
        if self._end is not None:
            raise self._end
        self._handshake = asyncio.get_running_loop().create_future()
        self._send(frame)
        try:
            await self._handshake
        finally:
            self._handshake = None

    def _take_text(self, text: str) -> None:
        try:
            frames = self._events.receive_text(text, now=time.monotonic())
        except RemoteProtocolError:
            return  # what breaks the protocol answers nothing; the wait for an answer goes on
        for frame in frames:
            self._take_frame(frame)

    def _take_frame(self, frame: Frame) -> None:
        if isinstance(frame, Data):
            self._take_data(frame)
        elif isinstance(frame, OperationError) and self._handshake is not None:
            self._take_handshake(frame)
        elif isinstance(frame, PublishSuccess | PublishError | OperationError):
            self._happen(frame)
        else:
            self._take_handshake(frame)

    def _take_data(self, frame: Data) -> None:
        if frame.id != SUBSCRIPTION:
            return
        try:
            packet = decode_packet(frame.event)
        except RemoteProtocolError:
            return  # another publisher's event on our channel
        if packet.source == self._config.worker_id:
            return  # our own, should a pattern ever cover both channels
        if packet.type == MessageCode.REBOOT and not self._is_listening:
            self.wants_init = True
        self._happen(packet)

    def _take_handshake(self, frame: Frame) -> None:
        refusal = _refusal(frame)
        if self._handshake is None or self._handshake.done():
            if refusal is not None and isinstance(frame, ConnectionRefused):
                self._take_end(refusal)
        elif refusal is not None:
            self._handshake.set_exception(refusal)
        elif isinstance(frame, ConnectionAck | SubscribeSuccess):
            self._handshake.set_result(None)

    def _take_end(self, end: Obstacle) -> None:
        if self._end is None:
            self._end = end
            self._events.close()
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(self._end)
        self._wake()

    def _happen(self, happening: Happening) -> None:
        if not self._is_listening:
            return
        if len(self._happenings) >= MAILBOX_SIZE:
            self._take_end(Obstacle(Outcome.CLOSED, message="more packets than can be kept"))
            return
        self._happenings.append(happening)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _refusal(frame: Frame) -> Obstacle | None:
    if isinstance(frame, ConnectionRefused | SubscribeError | OperationError):
        return denied(frame.errors)
    return None


def denied(errors: Errors) -> Obstacle:
    """An error frame as an obstacle: its first error says it all, AWS sends exactly one."""
    first = errors[0]
    facts: dict[str, Any] = {"error_type": first.error_type}
    if first.message:
        facts["message"] = redact(first.message[:300])
    if first.error_code is not None:
        facts["code"] = first.error_code
    return Obstacle(Outcome.DENIED, **facts)


class _Opening:
    """The phases of an opening, in their order, and the facts that they pass on."""

    def __init__(
        self,
        link: Link,
        config: ShimConfig,
        *,
        route: Route,
        allowance: Allowance,
        spans: SpanLog,
    ) -> None:
        self._link = link
        self._config = config
        self._route = route
        self._target = route.target
        self._hop: Endpoint = route.target if route.proxy is None else route.proxy.endpoint
        self._allowance = allowance
        self._spans = spans

    async def run(self, context: ssl.SSLContext) -> None:
        addresses = await self._resolve()
        connection, peer = await self._connect(addresses)
        if self._route.proxy is not None:
            await self._open_tunnel(connection, self._route.proxy, peer=peer)
        wire = await self._shake_hands(connection, context=context, peer=peer)
        self._link.attach(wire)
        await self._upgrade(wire, peer)
        await self._ask(Phase.INIT, "connect.ack", ConnectionInit(), peer=peer)
        try:
            await self._ask(Phase.SUBSCRIBE, "subscribe.ack", self._subscribe(), peer=peer)
        except PhaseFailed:
            if self._config.profile is not Profile.SST:
                raise  # SST's bridge goes on without a subscription, and hears nothing

    def _wait(self, name: str) -> Wait:
        return self._allowance.wait(name, now=self._spans.now())

    async def _resolve(self) -> list[Any]:
        detail: dict[str, Any] = {"host": self._hop.host, "port": self._hop.port}
        async with self._spans.observe(Phase.RESOLVE, self._wait("connect.dns"), detail):
            found = await resolve(self._hop, self._route.family)
            detail["addresses"] = [address[4][0] for address in found]
        return found

    async def _connect(self, addresses: list[Any]) -> tuple[socket.socket, str]:
        """Tries the addresses in order; each gets its share of what is left of the budget."""
        wait = self._wait("connect.tcp")
        started = self._spans.now()
        detail: dict[str, Any] = {"host": self._hop.host, "port": self._hop.port}
        async with self._spans.observe(Phase.CONNECT, wait, detail):
            for index, (family, kind, protocol, _, address) in enumerate(addresses):
                detail |= {"address": address[0], "attempt": index + 1}
                left = wait.seconds - (self._spans.now() - started)
                is_last = index + 1 == len(addresses)
                share = wait.seconds if is_last else left / (len(addresses) - index)
                connection = socket.socket(family, kind, protocol)
                try:
                    async with asyncio.timeout(share):
                        await _connect_socket(connection, address)
                    return connection, str(address[0])
                except OSError:
                    connection.close()
                    if is_last:
                        raise
                except BaseException:
                    connection.close()
                    raise
        raise AssertionError("getaddrinfo gave no address")  # it raises instead

    async def _open_tunnel(self, connection: socket.socket, proxy: Proxy, *, peer: str) -> None:
        """Asks the proxy for the target: still connecting, as the target's TCP is the proxy's."""
        detail = self._facts(peer) | {"proxy": str(proxy.endpoint)}
        try:
            async with self._spans.observe(Phase.CONNECT, self._wait("connect.tcp"), detail):
                await open_tunnel(connection, self._target, authorization=proxy.authorization)
        except BaseException:
            connection.close()
            raise

    async def _shake_hands(
        self, connection: socket.socket, *, context: ssl.SSLContext, peer: str
    ) -> Wire:
        authorization = {"host": self._route.http_host, "x-api-key": self._config.api_key}
        try:
            async with self._spans.observe(Phase.TLS, self._wait("connect.tls"), self._facts(peer)):
                return await Wire.start_tls(
                    connection,
                    context=context,
                    uri=f"wss://{self._target}/event/realtime",
                    subprotocols=offer(authorization),
                )
        except BaseException:
            connection.close()
            raise
        raise AssertionError  # the block above returns or raises; type checkers cannot see it

    async def _upgrade(self, wire: Wire, peer: str) -> None:
        wait = self._wait("connect.upgrade")
        async with self._spans.observe(
            Phase.UPGRADE, wait, self._facts(peer), on_timeout=wire.unfinished_refusal
        ):
            await wire.upgrade()

    async def _ask(self, phase: Phase, budget: str, frame: Frame, *, peer: str) -> None:
        async with self._spans.observe(phase, self._wait(budget), self._facts(peer)):
            await self._link.ask(frame)

    def _subscribe(self) -> Subscribe:
        config = self._config
        channel = worker_channel(config.app, config.stage, config.worker_id, config.namespace)
        return Subscribe(SUBSCRIPTION, channel, {"x-api-key": config.api_key})

    def _facts(self, peer: str) -> dict[str, Any]:
        return {"host": self._target.host, "port": self._target.port, "address": peer}


async def _connect_socket(connection: socket.socket, address: Any) -> None:  # noqa: ANN401  a family's own shape
    connection.setblocking(False)  # asyncio switches Nagle's algorithm off by itself
    await asyncio.get_running_loop().sock_connect(connection, address)
