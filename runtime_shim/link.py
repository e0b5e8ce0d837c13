"""The channel as the guest uses it: opened phase by phase, kept warm, heard through one mailbox.

::

    publish(text) ──▶ channel ──▶ happenings: what came of a publish, a packet, the end

``opening.py`` opens it; ``mailbox.py`` keeps what comes in, and proves that it does.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from random import Random
from typing import Any

from event_protocol.connection import EventConnection, Side
from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import (
    ConnectionAck,
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
    Unsubscribe,
)
from event_protocol.handshake import redact
from event_protocol.phases import Outcome
from event_protocol.states import ConnectionState
from runtime_shim.backoff import pauses
from runtime_shim.budgets import Allowance
from runtime_shim.config import ShimConfig
from runtime_shim.dialect import make_dialect
from runtime_shim.errors import Obstacle
from runtime_shim.mailbox import Agreement, Mailbox
from runtime_shim.opening import Opening
from runtime_shim.routes import Route
from runtime_shim.timing import SpanLog
from runtime_shim.wire import Wire

SUBSCRIPTION = "guest"


class Link(Mailbox):
    """One connection to the channel with one live subscription.

    Use :meth:`open`. A link that ended stays ended: open another.
    """

    def __init__(
        self,
        config: ShimConfig,
        route: Route | None = None,
        *,
        agreement: Agreement | None = None,
        rng: Random | None = None,
    ) -> None:
        self._dialect = make_dialect(config)
        super().__init__(config.worker_id, agreement, dialect=self._dialect)
        self._config = config
        self._rng = Random() if rng is None else rng
        self.target = (config.route if route is None else route).target
        self._key = {"x-api-key": config.api_key}
        self._wire: Wire | None = None
        self._handshake: asyncio.Future[None] | None = None
        self._subscription = SUBSCRIPTION
        self._probing = ""  # the latest probe's operation
        self._opened_wall = time.time()
        self._opened = time.monotonic()
        self._events = EventConnection(Side.CLIENT, now=self._opened)

    @classmethod
    async def open(
        cls,
        config: ShimConfig,
        *,
        context: ssl.SSLContext,
        allowance: Allowance,
        spans: SpanLog,
        route: Route | None = None,
        agreement: Agreement | None = None,
        rng: Random | None = None,
    ) -> Link:
        """Opens the channel, by the configured way or another, and subscribes to our own.

        The subscription is proven before it is used: an acknowledged one may deliver nothing yet.

        Raises:
            PhaseFailed: at the first phase that does not end well; nothing is left open.
        """
        link = cls(config, route, agreement=agreement, rng=rng)
        try:
            way = config.route if route is None else route
            await Opening(link, config, route=way, allowance=allowance, spans=spans).run(context)
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

    def publish(self, event: str) -> str:
        """Sends one event to the developer's side; the id under which its result will happen."""
        return self._publish_to(self._dialect.developer, event)

    def _publish_to(self, channel: str, event: str) -> str:
        operation = secrets.token_hex(8)
        self._send(Publish(operation, channel, (event,), self._key))
        return operation

    async def prove(self, seconds: float) -> None:
        """Sends events to our own channel until one is back.

        A subscription that was just acknowledged may drop the first: it is asked again, first after
        a twentieth of the time and then more and more slowly.

        Raises:
            TimeoutError: none came back in so many seconds.
            Obstacle: the channel ended, or does not let us publish there.
        """
        probes: list[asyncio.Future[None]] = []
        steps = pauses(seconds / 20, seconds / 4, rng=self._rng)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    packet, back = self.expect_proof()
                    probes.append(back)
                    proof = self._dialect.write_proof(packet)
                    self._probing = self._publish_to(self._dialect.own, proof)
                    done, _ = await asyncio.wait(
                        probes, timeout=next(steps), return_when=asyncio.FIRST_COMPLETED
                    )
                    if done:
                        return done.pop().result()
        finally:
            for each in probes:
                if not each.cancel():
                    each.exception()  # looked at, so that nobody complains

    def _send(self, frame: Frame) -> None:
        """Sends a frame; on a channel that ended, nothing: its end is what happens next."""
        assert self._wire is not None
        if self.end is not None:
            return
        self._events.send(frame)
        for text in self._events.texts_to_send():
            self._wire.send_text(text)

    async def close(self) -> None:
        """Leaves the channel; on a link that ended, only lets go of the connection."""
        if self._wire is not None:
            await self._wire.close(self._config.budgets.link_close)

    # --- what the wire says -----------------------------------------------------------------------

    def attach(self, wire: Wire) -> None:
        """Takes the wire over, before its upgrade."""
        self._wire = wire
        wire.on_text = self._take_text
        wire.on_end = self.finish
        if wire.end is not None:
            self.finish(wire.end)

    def subscribe(self) -> Subscribe:
        """A subscription in place of the one before, if there was one."""
        if self._events.subscriptions:
            self._send(Unsubscribe(self._subscription))
            self._subscription = f"{SUBSCRIPTION}-{secrets.token_hex(4)}"
        return Subscribe(self._subscription, self._dialect.own, self._key)

    async def ask(self, frame: Frame) -> None:
        """Sends a frame of the opening and waits for the server's consent.

        Raises:
            Obstacle: the server refuses, or the connection ends.
        """
        if self.end is not None:
            raise self.end
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
            if frame.id == self._subscription:
                self.take_event(frame.event)
        elif isinstance(frame, OperationError) and self._handshake is not None:
            self._take_handshake(frame)
        elif isinstance(frame, PublishSuccess | PublishError | OperationError):
            self._take_result(frame)
        else:
            self._take_handshake(frame)

    def _take_result(self, frame: PublishSuccess | PublishError | OperationError) -> None:
        if frame.id != self._probing or not self._probing:
            self.happen(frame)
        elif isinstance(frame, PublishError | OperationError):
            self.fail_proofs(denied(frame.errors))

    def _take_handshake(self, frame: Frame) -> None:
        refusal = _refusal(frame)
        if self._handshake is None or self._handshake.done():
            if refusal is not None and isinstance(frame, ConnectionRefused):
                self.finish(refusal)
        elif refusal is not None:
            self._handshake.set_exception(refusal)
        elif isinstance(frame, ConnectionAck | SubscribeSuccess):
            self._handshake.set_result(None)

    def finish(self, end: Obstacle) -> None:
        """The channel has ended; only the first word about it counts."""
        if self.end is None:
            self._events.close()
        super().finish(end)
        assert self.end is not None
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(self.end)


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
