"""One invocation over the channel: publish it, wait for the developer's word, bring the answer.

::

    PUBLISH   the event's packets, each awaited; the last together with …
    DELIVER   … the developer's first word: a ping, or that it has accepted this very request
    HANDLE    … until the whole answer is here; a side that announced beats is heard of meanwhile

What counts as an answer is decided once: a message whose id is not the invocation's, or that comes
after an answer, is somebody else's or too late, and is dropped.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import OperationError, PublishError, PublishSuccess
from event_protocol.live import (
    ENVIRONMENT_NOT_SENT,
    FEATURES,
    Accepted,
    Beat,
    Feature,
    Message,
    MessageCode,
    Packet,
    Reassembler,
    encode_init,
    encode_next,
)
from event_protocol.phases import Outcome, Phase
from runtime_shim.backoff import pauses
from runtime_shim.budgets import Allowance, Profile, Wait
from runtime_shim.config import ShimConfig
from runtime_shim.dialect import make_dialect
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.http_publish import HttpPublisher
from runtime_shim.link import denied
from runtime_shim.mailbox import Channel, Happening
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.timing import SpanLog, explain_exception, publish_result

RATE_LIMIT = "LimitExceededError"  # AppSync's word for more than 25 publishes a second
AGAIN_FIRST, AGAIN_LONGEST = 0.5, 2.0  # seconds before an event nobody took is published again
UNREADABLE = "LiveBridge.AnswerUnreadable"
_UNREADABLE_WORDS = "the developer's side answered, and its answer cannot be put together"
_NOT_SENT = ENVIRONMENT_NOT_SENT | {"AWS_LAMBDA_MAX_CONCURRENCY"}  # it changes runtime clients
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
    """

    def __init__(
        self,
        link: Channel,
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
        self._dialect = make_dialect(config)
        self._agreement = link.agreement
        self._reassembler = Reassembler()
        self._accepted: float | None = None  # when the developer's side said its first word
        self._answered: float | None = None
        self._answer: Answer | None = None
        self._answer_begun: float | None = None  # when its latest packet came
        self._heard = 0.0  # when the developer's side was last heard of, about this request
        self._is_debugging = False

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

    async def run_introduction(self) -> None:
        """Publishes INIT when there is no event yet. Raises ``PhaseFailed``."""
        self._link.listen()
        try:
            await self.introduce()
        finally:
            self._link.ignore()

    async def introduce(self) -> None:
        """Publishes INIT: who this environment is and the variables its handler needs."""
        if not self._dialect.introduces:
            return
        environment = {k: v for k, v in self._config.environment.items() if k not in _NOT_SENT}
        is_sst = self._config.profile is Profile.SST
        features = () if is_sst else FEATURES  # SST's own side does not look at them
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
        events = self._dialect.write(code, body)
        detail: dict[str, Any] = {
            "packet": code.name.lower(),
            "bytes": len(body),
            "chunks": len(events),
        }
        started = self._spans.now()
        if self._publisher is not None:
            for index, event in enumerate(events):
                await self._publisher.publish(
                    event,
                    allowance=self._allowance,
                    spans=self._spans,
                    detail=detail | {"chunk": index},
                )
            return self._spans.now()
        wait = self._allowance.wait("publish.answer", now=started)
        try:
            for index, event in enumerate(events):
                detail["chunk"] = index
                await self._publish_packet(event, detail, started=started)
        except (Obstacle, TimeoutError) as error:
            raise self._fail(
                Phase.PUBLISH, wait, started=started, error=error, detail=detail
            ) from error
        except asyncio.CancelledError:
            cancelled = detail | {"result": "cancelled"}
            outcome = Outcome.CANCELLED
            self._spans.add(Phase.PUBLISH, wait, started=started, outcome=outcome, detail=cancelled)
            raise
        del detail["chunk"]
        detail["result"] = "ok"
        span = self._spans.add(Phase.PUBLISH, wait, started=started, detail=detail)
        return span.finished

    async def _publish_packet(self, event: str, detail: dict[str, Any], *, started: float) -> None:
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
        wait = self._first_wait(published, now=published)
        again = pauses(AGAIN_FIRST, AGAIN_LONGEST, rng=self._rng)
        ask_at = published + next(again)
        try:
            while self._accepted is None:
                now = self._spans.now()
                wait = self._first_wait(published, now=now)
                if Feature.REPEAT not in self._agreement.features or ask_at - now >= wait.seconds:
                    await self._hear_next(wait.seconds)
                    continue
                try:
                    await self._hear_next(max(0.0, ask_at - now))
                except TimeoutError:  # a channel that promises nothing may have lost the event
                    ask_at = await self._publish_event() + next(again)
        except (Obstacle, TimeoutError) as error:
            raise self._fail(Phase.DELIVER, wait, started=published, error=error) from error
        started = min(published, self._accepted)
        offset = self._agreement.offset
        detail = {"clock_offset": round(offset, 3)} if offset else {}
        self._spans.add(
            Phase.DELIVER, wait, started=started, finished=self._accepted, detail=detail
        )

    def _first_wait(self, published: float, *, now: float) -> Wait:
        """A side that said HELLO also says at once that it has an event."""
        is_known = Feature.ACCEPTED in self._agreement.features
        return self._allowance.wait(
            "dev.known" if is_known else "dev.first", now=now, since=published
        )

    async def _await_answer(self) -> Answer:
        assert self._accepted is not None
        wait = self._allowance.wait("dev.total", now=self._accepted)
        try:
            while self._answer is None:
                wait = self._answer_wait(self._accepted)
                try:
                    await self._hear_next(wait.seconds)
                except TimeoutError:
                    if wait.name == "dev.silence":
                        await self._ask_who_is_silent()
                    raise
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
        """The shortest of what the handler may take, a begun answer may pause, a side be silent.

        While a debugger is attached only silence counts: the developer thinks, and the host has
        stopped the function's own clock.
        """
        now = self._spans.now()
        waits = [self._allowance.wait("dev.total", now=now, since=accepted)]
        if self._answer_begun is not None:
            waits.append(self._allowance.wait("chunk.gap", now=now, since=self._answer_begun))
        elif Feature.BEAT in self._agreement.features:
            allowance = self._allowance
            if self._is_debugging:
                allowance, waits = Allowance(allowance.budgets), []
            waits.append(allowance.wait("dev.silence", now=now, since=self._heard))
        return min(waits, key=lambda wait: wait.seconds)

    async def _ask_who_is_silent(self) -> None:
        """Tells a developer's side that is gone from a channel that is.

        Raises:
            Obstacle: it is the channel.
        """
        wait = self._allowance.wait("subscribe.live", now=self._spans.now())
        if wait.seconds <= 0:
            return
        try:
            await self._link.prove(wait.seconds)
        except TimeoutError as error:
            raise Obstacle(Outcome.CLOSED, message="nothing comes over the channel") from error
        except Obstacle as obstacle:
            if obstacle.outcome is not Outcome.DENIED:  # who may not ask does not know
                raise

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
        if self._is_answer(message.code, message.id):
            self._take_answer(_read_answer(message), now)
        elif self._is_word(message):
            self._heard = now
            if self._accepted is None:
                self._accepted = now

    def _is_word(self, message: Message) -> bool:
        """Whether the developer's side says that it has the event. A ping names no request."""
        try:
            if message.code == MessageCode.PING:
                return True
            if message.code == MessageCode.ACCEPTED:
                return Accepted.decode(message.body).request_id == self._invocation.request_id
            if message.code == MessageCode.BEAT:
                beat = Beat.decode(message.body)
                if beat.request_id == self._invocation.request_id:
                    self._is_debugging = beat.is_debugging
                    return True
        except RemoteProtocolError:
            pass  # a word that cannot be read says nothing
        return False

    def _take_answer(self, answer: Answer, now: float) -> None:
        """An answer that nothing announced is the first word, too."""
        self._heard = now
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
