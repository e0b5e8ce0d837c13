"""The developer's side as one environment sees it: a channel that is kept, and what it agreed on.

::

    ask ─▶ a warm channel, or a new one ─▶ call ─▶ answer
                 ▲                           │
                 └── lost: opened again ◀────┘ the event again under its id, if that is safe

One invocation at a time. A kept channel that turns out to be dead is replaced once. One that is
lost in the middle of an invocation is opened again for as long as ``reconnect.total``, if the
developer's side has announced that it answers a request which it has seen once more without running
it again. Every other failure is the caller's to answer.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from event_protocol.live import Cancel, Feature, MessageCode, encode_packet, encode_report, split
from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.backoff import pauses
from runtime_shim.breaker import OPENING
from runtime_shim.budgets import Allowance, Profile
from runtime_shim.call import Call
from runtime_shim.config import ShimConfig
from runtime_shim.errors import PhaseFailed
from runtime_shim.http_publish import HttpPublisher
from runtime_shim.link import Link
from runtime_shim.mailbox import Agreement, Channel
from runtime_shim.poll_link import PollLink
from runtime_shim.routes import Route
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.timing import SpanLog

_LOST_CHANNEL = {Outcome.CLOSED, Outcome.RESET}
_AFTER_PUBLISH = {Phase.PUBLISH, Phase.DELIVER, Phase.HANDLE}


@dataclass(frozen=True, slots=True)
class Question:
    """An invocation as it is put to the developer's side.

    Attributes:
        invocation: the event.
        allowance: its budgets.
        spans: where what it takes is noted.
    """

    invocation: Invocation
    allowance: Allowance
    spans: SpanLog


class DeveloperChannel:
    """Asks the developer's side.

    Args:
        config: who we are and where it is.
        context: whom to trust.
        rng: of the pauses.
    """

    def __init__(self, config: ShimConfig, *, context: ssl.SSLContext, rng: Random) -> None:
        self._config = config
        self._context = context
        self._rng = rng
        is_sst = config.profile is Profile.SST
        self._publisher = HttpPublisher(config, context=context) if is_sst else None
        self._link: Channel | None = None
        self._route: Route | None = None  # the last that brought an answer, if not the first
        self._is_introduced = False
        self.agreement = Agreement()

    async def ask(self, question: Question, *, route: Route | None = None) -> tuple[Answer, float]:
        """The developer's answer, and the monotonic second at which it was here.

        Args:
            question: the invocation.
            route: another way than the usual one; one that works is kept.

        Raises:
            PhaseFailed: there is none. Nobody listens to the channel any more, so what still comes
                answers nothing.
        """
        if route is not None:
            await self._drop_link()
            self._route = route
        is_kept = self._has_warm_link()
        attempts: Iterator[float] | None = None  # pauses, once a channel was lost in mid-call
        give_up = math.inf
        is_accepted = False
        while True:
            try:
                return await self._call(question)
            except PhaseFailed as failed:
                is_accepted = is_accepted or failed.is_accepted
                now = time.monotonic()
                if attempts is None and self._may_resume(failed):
                    attempts = pauses(
                        self._config.budgets.reconnect_first,
                        self._config.budgets.reconnect_max,
                        rng=self._rng,
                    )
                    pause, give_up = 0.0, now + self._config.budgets.reconnect_total
                elif is_kept and self._publisher is None and _was_dead(failed) and not is_accepted:
                    # If the event had got through all the same, its id is seen twice over there.
                    pause, is_kept = 0.0, False
                elif attempts is not None and (_is_lost(failed) or failed.phase in OPENING):
                    pause = next(attempts)
                else:
                    pause = math.inf
                if now + pause >= min(give_up, question.allowance.deadline):
                    await self._let_go(failed)
                    raise PhaseFailed(failed.span, is_accepted=is_accepted) from failed
            await self._drop_link()
            await asyncio.sleep(pause)

    async def introduce(self, spans: SpanLog, *, deadline: float = math.inf) -> None:
        """Opens the channel and publishes INIT before there is an event.

        Args:
            spans: where its phases are noted.
            deadline: monotonic seconds at which it has to be done.

        Raises:
            PhaseFailed: the channel cannot be opened, or INIT cannot be published.
        """
        now = spans.now()
        nobody = Invocation("", {}, b"", received=now, deadline=deadline)
        question = Question(nobody, Allowance(self._config.budgets, deadline), spans)
        try:
            call = await self._make_call(question)
            await call.run_introduction()
        except PhaseFailed as failed:
            await self._let_go(failed)
            raise
        self._is_introduced = True

    def cancel(self, request_id: str, *, span: Span) -> None:
        """Tells the developer's side to stop: this request is answered by somebody else.

        Best effort, and only to a side that announced to know the word: SST's own would not.
        """
        if span.phase in _AFTER_PUBLISH:
            body = Cancel(request_id, f"{span.phase} {span.outcome}").encode()
            self._tell(Feature.CANCEL, MessageCode.CANCEL, body)

    def report(self, line: str) -> None:
        """Tells the developer's side what was measured; best effort, and to one that wants it."""
        self._tell(Feature.REPORT, MessageCode.REPORT, encode_report(line))

    async def close(self) -> None:
        """Leaves the channel."""
        await self._drop_link()

    def _tell(self, feature: Feature, code: MessageCode, body: bytes) -> None:
        link = self._link
        if feature not in self.agreement.features or link is None or not link.is_open:
            return
        source, id_ = self._config.worker_id, secrets.token_hex(12)
        for packet in split(code, source=source, id=id_, body=body):
            link.publish(encode_packet(packet))

    async def _call(self, question: Question) -> tuple[Answer, float]:
        call = await self._make_call(question)
        answer = await call.run(is_new=not self._is_introduced)
        self._is_introduced = True
        return answer, call.answered_at

    async def _make_call(self, question: Question) -> Call:
        link = await self._open_link(question)
        return Call(
            link,
            self._config,
            invocation=question.invocation,
            allowance=question.allowance,
            spans=question.spans,
            rng=self._rng,
            publisher=link.publisher if isinstance(link, PollLink) else self._publisher,
        )

    def _has_warm_link(self) -> bool:
        link = self._link
        return link is not None and link.is_open and link.age < self._config.budgets.warm_max_age

    async def _open_link(self, question: Question) -> Channel:
        if self._link is not None and self._has_warm_link():
            return self._link
        await self._drop_link()
        kind = PollLink if self._route is not None and self._route.is_poll else Link
        self._link = await kind.open(
            self._config,
            context=self._context,
            allowance=question.allowance,
            spans=question.spans,
            route=self._route,
            agreement=self.agreement,
            rng=self._rng,
        )
        return self._link

    def _may_resume(self, failed: PhaseFailed) -> bool:
        """Whether the event may be sent again although it was published."""
        is_safe = Feature.REPEAT in self.agreement.features
        return is_safe and failed.phase in _AFTER_PUBLISH and _is_lost(failed)

    async def _let_go(self, failed: PhaseFailed) -> None:
        if not self._has_warm_link():
            self._route = None  # the usual way is tried first next time
        is_doubtful = self._publisher is None and _is_doubtful(failed.span)
        if is_doubtful or not self._has_warm_link():
            await self._drop_link()

    async def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def _is_lost(failed: PhaseFailed) -> bool:
    return failed.span.outcome in _LOST_CHANNEL


def _was_dead(failed: PhaseFailed) -> bool:
    return failed.phase is Phase.PUBLISH and _is_lost(failed) and not failed.is_accepted


def _is_doubtful(span: Span) -> bool:
    """A channel that swallows what is sent is not worth another try."""
    return span.phase is Phase.PUBLISH and span.outcome is Outcome.TIMEOUT
