"""The developer's side as one environment sees it: a channel that is kept, and what it agreed on.

One invocation at a time. A kept channel that turns out to be dead is replaced once, within the same
deadline; every other failure is the caller's to answer.
"""

from __future__ import annotations

import json
import math
import secrets
import ssl
from dataclasses import dataclass
from random import Random

from event_protocol.live import MessageCode, encode_packet, split
from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.budgets import Allowance, Profile
from runtime_shim.call import CANCEL, Call
from runtime_shim.config import ShimConfig
from runtime_shim.errors import PhaseFailed
from runtime_shim.http_publish import HttpPublisher
from runtime_shim.link import Link
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
        self._link: Link | None = None
        self._route: Route | None = None  # the last that brought an answer, if not the first
        self._is_introduced = False
        self._features: frozenset[str] = frozenset()

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
        try:
            return await self._call(question)
        except PhaseFailed as failed:
            if not (is_kept and self._publisher is None and _was_dead(failed)):
                await self._let_go(failed)
                raise
        # A kept channel turned out to be dead: one new channel, within the same deadline. If the
        # event had got through all the same, the developer's side sees its request id twice.
        await self._drop_link()
        try:
            return await self._call(question)
        except PhaseFailed as failed:
            await self._let_go(failed)
            raise

    async def introduce(self, spans: SpanLog) -> None:
        """Opens the channel and publishes INIT before there is an event, as SST's bridge does.

        Raises:
            PhaseFailed: the channel cannot be opened, or INIT cannot be published.
        """
        now = spans.now()
        nobody = Invocation("", {}, b"", received=now, deadline=math.inf)
        question = Question(nobody, Allowance(self._config.budgets), spans)
        await (await self._make_call(question)).introduce()
        self._is_introduced = True

    def cancel(self, request_id: str, *, span: Span) -> None:
        """Tells the developer's side to stop: this request is answered by somebody else.

        Best effort, and only to a side that announced to know the word: SST's own would not.
        """
        link = self._link
        if CANCEL not in self._features or link is None or span.phase not in _AFTER_PUBLISH:
            return
        body = json.dumps({"requestId": request_id, "reason": f"{span.phase} {span.outcome}"})
        source, id_ = self._config.worker_id, secrets.token_hex(12)
        for packet in split(MessageCode.CANCEL, source=source, id=id_, body=body.encode()):
            link.publish(encode_packet(packet))

    async def close(self) -> None:
        """Leaves the channel."""
        await self._drop_link()

    async def _call(self, question: Question) -> tuple[Answer, float]:
        call = await self._make_call(question)
        try:
            answer = await call.run(is_new=not self._is_introduced)
        finally:
            self._features |= call.features
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
            publisher=self._publisher,
        )

    def _has_warm_link(self) -> bool:
        link = self._link
        return link is not None and link.is_open and link.age < self._config.budgets.warm_max_age

    async def _open_link(self, question: Question) -> Link:
        if self._link is None or not self._has_warm_link():
            await self._drop_link()
            self._link = await Link.open(
                self._config,
                context=self._context,
                allowance=question.allowance,
                spans=question.spans,
                route=self._route,
            )
        return self._link

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


def _was_dead(failed: PhaseFailed) -> bool:
    is_lost = failed.span.outcome in _LOST_CHANNEL
    return failed.phase is Phase.PUBLISH and is_lost and not failed.is_accepted


def _is_doubtful(span: Span) -> bool:
    """A channel that swallows what is sent is not worth another try."""
    return span.phase is Phase.PUBLISH and span.outcome is Outcome.TIMEOUT
