"""What a guest is told beside answers: that its event is here, that it is being worked on.

::

    INIT with features ──▶ HELLO: from now on what both sides know is said
    NEXT ──▶ ACCEPTED, or a ping to who announced nothing ──▶ BEAT, BEAT … until it is answered

All of it is best effort: an answer does not wait for it, and what could not be sent is a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from event_protocol.live import FEATURES, Accepted, Beat, Feature, Hello, MessageCode
from natless.lambda_host.clock import Clock, Timer
from natless.worker.config import WorkerBudgets
from natless.worker.errors import PublishFailed
from natless.worker.reserve import Spawn


class Send(Protocol):
    """Publishes a message to one guest."""

    async def __call__(
        self, worker_id: str, code: MessageCode, body: bytes, *, name: str = "", give_up: float
    ) -> None:
        """Returns when the channel has accepted all of it.

        Args:
            worker_id: to whom.
            code: what it is.
            body: its content.
            name: the message's id: the request id for an answer; a new one when left out.
            give_up: monotonic seconds after which no further attempt is made.

        Raises:
            PublishFailed: the channel did not accept it.
        """


class Voice:
    """Speaks to one guest.

    Args:
        worker_id: to whom.
        instance: which developer's side this is, for guests that want to tell two apart.
        budgets: how often it beats, how long it tries.
        clock: for every wait.
        send: publishes to the guest.
        spawn: runs a coroutine beside the caller.
        fact: takes what could not be said.

    Attributes:
        features: what both sides have announced.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        instance: str,
        budgets: WorkerBudgets,
        clock: Clock,
        send: Send,
        spawn: Spawn,
        fact: Callable[..., None],
    ) -> None:
        self.features: frozenset[str] = frozenset()
        self._worker_id = worker_id
        self._instance = instance
        self._budgets = budgets
        self._clock = clock
        self._send = send
        self._spawn = spawn
        self._fact = fact
        self._request_id = ""  # of the invocation that is being worked on
        self._is_debugging = False
        self._beat: Timer | None = None

    def agree(self, features: Sequence[str]) -> None:
        """Takes what an INIT announced, and answers it, if there is anything to agree on."""
        self.features = frozenset(features) & frozenset(FEATURES)
        if not self.features:
            return
        hello = Hello(self.features, self._instance, self._clock.wall())
        self._say(MessageCode.HELLO, hello.encode())
        self._beat_later()

    def acknowledge(self, request_id: str) -> None:
        """Says that an event is here."""
        if Feature.ACCEPTED in self.features:
            self._say(MessageCode.ACCEPTED, Accepted(request_id, self._clock.wall()).encode())
        else:
            self._say(MessageCode.PING, b"{}\n")

    def begin(self, request_id: str) -> None:
        """Work on it begins."""
        self._request_id = request_id
        self._beat_later()

    def end(self) -> None:
        """Nothing is worked on."""
        self._request_id = ""
        if self._beat is not None:
            self._beat.cancel()

    def note_debugger(self, *, is_attached: bool) -> None:
        """A debugger came or went; the guest is told at once, and with every beat."""
        if is_attached != self._is_debugging:
            self._is_debugging = is_attached
            self._beat_now()

    def _beat_later(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        if self._request_id and Feature.BEAT in self.features:
            when = self._clock.now() + self._budgets.beat
            self._beat = self._clock.call_at(when, self._beat_now)

    def _beat_now(self) -> None:
        if not self._request_id or Feature.BEAT not in self.features:
            return
        beat = Beat(self._request_id, self._clock.wall(), self._is_debugging)
        self._say(MessageCode.BEAT, beat.encode())
        self._beat_later()

    def _say(self, code: MessageCode, body: bytes) -> None:
        self._spawn(self._send_or_note(code, body))

    async def _send_or_note(self, code: MessageCode, body: bytes) -> None:
        give_up = self._clock.now() + self._budgets.publish
        try:
            await self._send(self._worker_id, code, body, give_up=give_up)
        except PublishFailed as error:
            self._fact("worker.word.failed", word=code.name.lower(), reason=str(error))
