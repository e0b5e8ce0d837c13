"""One invocation over the channel: publish it, wait for the developer's word, bring the answer.

::

    PUBLISH   the event's packets, each awaited; the last together with …
    DELIVER   … the developer's first word: a ping
    HANDLE    … until the whole answer is here

What counts as an answer is decided once: a message whose id is not the invocation's, or that comes
after an answer, is somebody else's or too late, and is dropped.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from random import Random
from typing import Any

from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import OperationError, PublishError, PublishSuccess
from event_protocol.live import (
    ENVIRONMENT_NOT_SENT,
    Message,
    MessageCode,
    Packet,
    Reassembler,
    encode_init,
    encode_next,
    encode_packet,
    split,
)
from event_protocol.phases import Outcome, Phase
from runtime_shim.backoff import pauses
from runtime_shim.budgets import Allowance, Profile, Wait
from runtime_shim.config import ShimConfig
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.http_publish import HttpPublisher
from runtime_shim.link import Happening, Link, denied
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.timing import SpanLog, explain_exception, publish_result

CANCEL = "cancel"  # the feature whose announcement by both sides allows code 104
RATE_LIMIT = "LimitExceededError"  # AppSync's word for more than 25 publishes a second
UNREADABLE = "LiveBridge.AnswerUnreadable"
_UNREADABLE_WORDS = "the developer's side answered, and its answer cannot be put together"
_NOT_SENT = ENVIRONMENT_NOT_SENT | {"AWS_LAMBDA_MAX_CONCURRENCY"}  # it changes runtime clients
_FIRST_WORD = {MessageCode.PING, MessageCode.ACCEPTED, MessageCode.BEAT}
_FEATURES = (CANCEL,)  # what INIT announces; SST's own side does not look at it
_ANSWERS = {MessageCode.RESPONSE, MessageCode.ERROR, MessageCode.INIT_ERROR}


class Call:
    """One invocation on one link.

    Args:
        link: an open channel.
        config: who we are.
        invocation: the event.
        allowance: its budgets.
        spans: where its phases are noted.
        rng: of the pauses before a refused packet is sent again.
        publisher: publishes over HTTP; None publishes over the channel.

    Attributes:
        features: what the developer's side announced in this call.
    """

    def __init__(
        self,
        link: Link,
        config: ShimConfig,
        *,
        invocation: Invocation,
        allowance: Allowance,
        spans: SpanLog,
        rng: Random | None = None,
        publisher: HttpPublisher | None = None,
    ) -> None:
        self._link = link
        self._config = config
        self._invocation = invocation
        self._allowance = allowance
        self._spans = spans
        self._rng = Random() if rng is None else rng
        self._publisher = publisher
        self.features: frozenset[str] = frozenset()
        self._reassembler = Reassembler()
        self._accepted: float | None = None  # when the developer's side said its first word
        self._answered: float | None = None
        self._answer: Answer | None = None
        self._answer_begun: float | None = None  # when its latest packet came

    @property
    def answered_at(self) -> float:
        """Monotonic seconds at which the whole answer was here."""
        return self._spans.now() if self._answered is None else self._answered

    async def run(self, *, is_new: bool) -> Answer:
        """The developer's answer.

        Args:
            is_new: the developer's side has not been told about this environment yet.

        Raises:
            PhaseFailed: the channel refused, ended, or nobody answered in time.
        """
        self._link.listen()
        try:
            if is_new or self._link.wants_init:
                await self.introduce()
            published = await self._publish_event()
            await self._await_first_word(published)
            return await self._await_answer()
        finally:
            self._link.ignore()

    async def introduce(self) -> None:
        """Publishes INIT: who this environment is and the variables its handler needs."""
        environment = {k: v for k, v in self._config.environment.items() if k not in _NOT_SENT}
        is_sst = self._config.profile is Profile.SST
        features = () if is_sst else _FEATURES
        body = encode_init(self._config.function_id, environment, features)
        self._link.wants_init = False  # before it is sent: who asks again then, gets it again
        try:
            await self._publish(MessageCode.INIT, body)
        except PhaseFailed:
            if not is_sst:
                raise  # SST's bridge does not look at what became of its INIT

    # --- publish ----------------------------------------------------------------------------------

    async def _publish_event(self) -> float:
        body = encode_next(self._invocation.headers, self._invocation.body)
        return await self._publish(MessageCode.NEXT, body)

    async def _publish(self, code: MessageCode, body: bytes) -> float:
        """Publishes a message packet by packet; monotonic seconds of its end."""
        packets = list(
            split(code, source=self._config.worker_id, id=secrets.token_hex(12), body=body)
        )
        detail: dict[str, Any] = {
            "packet": code.name.lower(),
            "bytes": len(body),
            "chunks": len(packets),
        }
        started = self._spans.now()
        if self._publisher is not None:
            for index, packet in enumerate(packets):
                await self._publisher.publish(
                    encode_packet(packet),
                    allowance=self._allowance,
                    spans=self._spans,
                    detail=detail | {"chunk": index},
                )
            return self._spans.now()
        wait = self._allowance.wait("publish.answer", now=started)
        try:
            for index, packet in enumerate(packets):
                detail["chunk"] = index
                await self._publish_packet(packet, detail, started=started)
        except (Obstacle, TimeoutError) as error:
            raise self._fail(
                Phase.PUBLISH, wait, started=started, error=error, detail=detail
            ) from error
        del detail["chunk"]
        detail["result"] = "ok"
        span = self._spans.add(Phase.PUBLISH, wait, started=started, detail=detail)
        return span.finished

    async def _publish_packet(
        self, packet: Packet, detail: dict[str, Any], *, started: float
    ) -> None:
        event = encode_packet(packet)
        budgets = self._allowance.budgets
        between = pauses(budgets.publish_pause, budgets.publish_pause_max, rng=self._rng)
        for attempt in range(1, budgets.publish_attempts + 1):
            detail["attempt"] = attempt
            refusal = await self._publish_once(event, started=started)
            if refusal is None:
                return
            # Everything but a rate limit would be refused again.
            is_last = attempt == budgets.publish_attempts
            if is_last or refusal.facts.get("error_type") != RATE_LIMIT:
                raise refusal
            await asyncio.sleep(next(between))

    async def _publish_once(self, event: str, *, started: float) -> Obstacle | None:
        """Sends one event and waits for its result; the refusal if there is one.

        A first word or an answer that comes earlier than the result is a result, too.
        """
        was_accepted = self._accepted is not None
        operation = self._link.publish(event)
        begun = self._spans.now()
        while True:
            now = self._spans.now()
            one = self._allowance.wait("publish.answer", now=now, since=begun)
            all_ = self._allowance.wait("publish.total", now=now, since=started)
            happening = await self._link.next_happening(min(one.seconds, all_.seconds))
            if isinstance(happening, PublishSuccess) and happening.id == operation:
                if not happening.failed:
                    return None
                failed = happening.failed[0]
                return Obstacle(Outcome.DENIED, error_type=failed.code, message=failed.message)
            if isinstance(happening, PublishError | OperationError) and (
                happening.id in (operation, None)
            ):
                return denied(happening.errors)
            self._hear(happening)
            if self._answer is not None or (self._accepted is not None and not was_accepted):
                return None

    # --- deliver and handle -----------------------------------------------------------------------

    async def _await_first_word(self, published: float) -> None:
        wait = self._allowance.wait("dev.first", now=published)
        try:
            while self._accepted is None:
                now = self._spans.now()
                left = self._allowance.wait("dev.first", now=now, since=published)
                await self._hear_next(left.seconds)
        except (Obstacle, TimeoutError) as error:
            raise self._fail(Phase.DELIVER, wait, started=published, error=error) from error
        started = min(published, self._accepted)
        self._spans.add(Phase.DELIVER, wait, started=started, finished=self._accepted)

    async def _await_answer(self) -> Answer:
        assert self._accepted is not None
        wait = self._allowance.wait("dev.total", now=self._accepted)
        try:
            while self._answer is None:
                wait = self._answer_wait(self._accepted)
                await self._hear_next(wait.seconds)
        except (Obstacle, TimeoutError) as error:
            raise self._fail(Phase.HANDLE, wait, started=self._accepted, error=error) from error
        self._spans.add(
            Phase.HANDLE,
            self._allowance.wait("dev.total", now=self._accepted),
            started=self._accepted,
            finished=self.answered_at,
            detail={"bytes": len(self._answer.body)},
        )
        return self._answer

    def _answer_wait(self, accepted: float) -> Wait:
        """The shorter of what the handler may take and what a begun answer may pause."""
        now = self._spans.now()
        total = self._allowance.wait("dev.total", now=now, since=accepted)
        if self._answer_begun is None:
            return total
        gap = self._allowance.wait("chunk.gap", now=now, since=self._answer_begun)
        return min(total, gap, key=lambda wait: wait.seconds)

    async def _hear_next(self, seconds: float) -> None:
        if self._link.wants_init:
            await self.introduce()
        self._hear(await self._link.next_happening(seconds))

    def _hear(self, happening: Happening) -> None:
        """Takes in what happened.

        Raises:
            Obstacle: the channel ended.
        """
        if isinstance(happening, Obstacle):
            raise happening
        if not isinstance(happening, Packet) or self._answer is not None:
            return
        now = self._spans.now()
        if self._is_answer(happening.type, happening.id):
            self._answer_begun = now
        try:
            message = self._reassembler.receive(happening)
        except RemoteProtocolError as error:
            # The rest of that message will be dropped. If it was the answer, none will come.
            if self._is_answer(happening.type, happening.id):
                self._take_answer(Answer.error(UNREADABLE, f"{_UNREADABLE_WORDS}: {error}"), now)
            return
        if message is not None:
            self._take_message(message, now)

    def _is_answer(self, code: int, id_: str) -> bool:
        """An init error has an id of its own: it answers whatever waits."""
        is_ours = code == MessageCode.INIT_ERROR or id_ == self._invocation.request_id
        return code in _ANSWERS and is_ours

    def _take_message(self, message: Message, now: float) -> None:
        if message.code == MessageCode.REBOOT:
            self._link.wants_init = True
        elif message.code == MessageCode.HELLO:
            self.features |= _read_features(message.body)
        if self._is_answer(message.code, message.id):
            self._take_answer(_read_answer(message), now)
        elif message.code in _FIRST_WORD and self._accepted is None:
            self._accepted = now

    def _take_answer(self, answer: Answer, now: float) -> None:
        """An answer that nothing announced is the first word, too."""
        self._accepted = now if self._accepted is None else self._accepted
        self._answered = now
        self._answer = answer

    def _fail(
        self,
        phase: Phase,
        wait: Wait,
        *,
        started: float,
        error: Exception,
        detail: dict[str, Any] | None = None,
    ) -> PhaseFailed:
        obstacle = explain_exception(error, phase)
        target = self._link.target
        facts = {"host": target.host, "port": target.port} | (detail or {}) | dict(obstacle.facts)
        if phase is Phase.PUBLISH:
            facts["result"] = publish_result(obstacle.outcome, obstacle.facts, step="answer")
        span = self._spans.add(phase, wait, started=started, outcome=obstacle.outcome, detail=facts)
        return PhaseFailed(span, is_accepted=self._accepted is not None)


def _read_features(body: bytes) -> frozenset[str]:
    """What a HELLO announces; nothing for a body that is none."""
    try:
        names = json.loads(body)["features"]
        return frozenset(name for name in names if isinstance(name, str))
    except (ValueError, KeyError, TypeError):
        return frozenset()


def _read_answer(message: Message) -> Answer:
    if message.code == MessageCode.RESPONSE:
        return Answer(message.body)
    return Answer(message.body, is_error=True, error_type=_error_type(message.body))


def _error_type(body: bytes) -> str:
    """The handler's own name for its error; empty when the body does not say it."""
    try:
        value = json.loads(body)
    except ValueError:
        return ""
    name = value.get("errorType", "") if isinstance(value, dict) else ""
    return name[:200].encode("ascii", "backslashreplace").decode() if isinstance(name, str) else ""
