"""What a channel says to the guest, whichever way it came: kept while an invocation listens.

Happenings are kept only while an invocation listens: what arrives in between answers nothing. Three
things are heard at any time, because they are not about an invocation: REBOOT, which asks for an
INIT before the next event; HELLO, which answers an INIT; and our own PROBE, which proves that the
subscription delivers.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import OperationError, PublishError, PublishSuccess
from event_protocol.live import Hello, MessageCode, Packet, Probe, decode_packet
from event_protocol.phases import Outcome
from runtime_shim.dialect import Dialect
from runtime_shim.errors import Obstacle
from runtime_shim.routes import Endpoint

MAILBOX_SIZE = 2_000  # happenings; an answer of 6 MiB has 49 packets
INSTANCES_COUNT = 8  # developers' sides that are told apart

Happening = PublishSuccess | PublishError | OperationError | Packet | Obstacle


@dataclass(slots=True)
class Agreement:
    """What the developer's side has announced; it outlives the channel that it was said on.

    Attributes:
        features: what may be sent and expected; none until a HELLO has come.
        instances: which developers' sides said HELLO; more than one share a stage.
        offset: seconds that their clock is ahead of ours, the way of the HELLO included.
    """

    features: frozenset[str] = frozenset()
    instances: dict[str, None] = field(default_factory=dict)
    offset: float = 0.0

    def take(self, hello: Hello) -> None:
        """Agrees to what a HELLO names."""
        self.features |= hello.features
        self.offset = hello.now - time.time() if hello.now else 0.0
        if len(self.instances) < INSTANCES_COUNT:
            self.instances[hello.instance] = None

    def forget(self) -> None:
        """Whoever asks for an INIT does not know us, and may be somebody else than before."""
        self.features = frozenset()
        self.instances.clear()


class Channel(Protocol):
    """An open channel, as an invocation uses it."""

    agreement: Agreement
    wants_init: bool

    @property
    def target(self) -> Endpoint:
        """Where it leads."""

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as anybody has said."""

    @property
    def age(self) -> float:
        """Seconds since it was opened."""

    def listen(self) -> None:
        """Begins to keep happenings, for one invocation."""

    def ignore(self) -> None:
        """Stops keeping them."""

    def publish(self, event: str) -> str:
        """Sends an event to the developer's side; the id under which its result will happen."""

    async def next_happening(self, seconds: float) -> Happening:
        """The next thing that happens. Raises ``TimeoutError``."""

    async def prove(self, seconds: float) -> None:
        """Proves that it delivers. Raises ``TimeoutError`` or ``Obstacle``."""

    async def close(self) -> None:
        """Leaves it."""


class Mailbox:
    """The inbound half of a channel.

    Args:
        worker_id: who we are; our own packets are no answers.
        agreement: takes what the developer's side announces.
        dialect: reads what comes; left out, events are packets.

    Attributes:
        end: how the channel ended, None while it goes on.
        wants_init: somebody asked for an INIT that was not sent yet.
    """

    def __init__(
        self,
        worker_id: str,
        agreement: Agreement | None = None,
        *,
        dialect: Dialect | None = None,
    ) -> None:
        self._worker_id = worker_id
        self._read = decode_packet if dialect is None else dialect.read
        self.agreement = agreement or Agreement()
        self.end: Obstacle | None = None
        self.wants_init = False
        self._happenings: deque[Happening] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_listening = False
        self._proofs: dict[str, asyncio.Future[None]] = {}

    def listen(self) -> None:
        """Begins to keep happenings, for one invocation."""
        self._happenings.clear()
        self._is_listening = True

    def ignore(self) -> None:
        """Stops keeping them."""
        self._is_listening = False
        self._happenings.clear()

    async def next_happening(self, seconds: float) -> Happening:
        """The next thing that happens on the channel; its end is the last and happens for ever.

        Raises:
            TimeoutError: nothing happens in so many seconds.
        """
        while not self._happenings:
            if self.end is not None:
                return self.end
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(seconds):
                await self._waiter
        return self._happenings.popleft()

    # --- what comes in ----------------------------------------------------------------------------

    def take_event(self, text: str) -> None:
        """Takes one event of our own channel."""
        try:
            packet = self._read(text)
        except RemoteProtocolError:
            return  # another publisher's event on our channel
        if packet is None:
            return  # more of it must come
        if packet.source == self._worker_id:
            self._take_own(packet)
            return
        if packet.type == MessageCode.HELLO:
            self._take_hello(packet)
        if packet.type == MessageCode.REBOOT and not self.wants_init:
            self.wants_init = True
            self.agreement.forget()
        self.happen(packet)

    def happen(self, happening: Happening) -> None:
        """Keeps what happened, if anybody listens."""
        if not self._is_listening:
            return
        if len(self._happenings) >= MAILBOX_SIZE:
            self.finish(Obstacle(Outcome.CLOSED, message="more packets than can be kept"))
            return
        self._happenings.append(happening)
        self._wake()

    def finish(self, end: Obstacle) -> None:
        """The channel has ended; only the first word about it counts."""
        if self.end is None:
            self.end = end
        self.fail_proofs(self.end)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take_hello(self, packet: Packet) -> None:
        with contextlib.suppress(RemoteProtocolError):  # who cannot say it has agreed to nothing
            self.agreement.take(Hello.decode(packet.data))

    # --- the proof --------------------------------------------------------------------------------

    def expect_proof(self) -> tuple[Packet, asyncio.Future[None]]:
        """A packet for our own channel, and what is done when it is back, or failed at its end.

        The caller cancels what it no longer waits for.
        """
        token = secrets.token_hex(8)
        back: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._proofs[token] = back
        back.add_done_callback(lambda _: self._proofs.pop(token, None))
        if self.end is not None:
            back.set_exception(self.end)
        body = Probe(token, time.time()).encode()
        return Packet(MessageCode.PROBE, self._worker_id, token, 0, body, final=True), back

    def fail_proofs(self, obstacle: Obstacle) -> None:
        """No probe will come back."""
        for back in self._proofs.values():
            if not back.done():
                back.set_exception(obstacle)

    def _take_own(self, packet: Packet) -> None:
        """Our own packet: a probe that is back, or an event to the developer's side under ours."""
        back = self._proofs.get(packet.id)
        if packet.type == MessageCode.PROBE and back is not None and not back.done():
            back.set_result(None)
