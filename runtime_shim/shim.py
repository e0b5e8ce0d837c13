"""The guest's life: take an event, bring an answer, say what was measured, again.

Every invocation gets exactly one answer and exactly one line in the log, whatever happens to the
channel. The line leaves over the log and not over the network that it measures.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy, encode_record
from runtime_shim.breaker import Breaker
from runtime_shim.budgets import Allowance, Wait
from runtime_shim.channel import DeveloperChannel, Question
from runtime_shim.config import ShimConfig
from runtime_shim.errors import BridgeExit, ConfigError, PhaseFailed, RuntimeApiLost
from runtime_shim.fallbacks.base import Failure, NoAnswer
from runtime_shim.fallbacks.catalogue import build_fallbacks
from runtime_shim.fallbacks.chain import Chain, Decision
from runtime_shim.fallbacks.observe import Copy, observed
from runtime_shim.replay import Replay
from runtime_shim.routes import Route
from runtime_shim.runtime_api import Answer, Invocation, RuntimeApiClient
from runtime_shim.sentences import explain_span
from runtime_shim.timing import SpanLog

EARLY_AGE = 2.0  # seconds for which a failure of the init phase is news


class Shim:
    """One execution environment.

    The channel is opened before the first event is asked for: Lambda allows its init phase ten
    seconds beside the function's own timeout. What fails then is the first event's failure too.

    Args:
        config: what it was told.
        api: where its events come from.
        write_line: takes each line of the log, without its end.

    Raises:
        ConfigError: the authority to trust cannot be read.
    """

    def __init__(
        self, config: ShimConfig, *, api: RuntimeApiClient, write_line: Callable[[str], None]
    ) -> None:
        rng = Random(config.seed)
        self._config = config
        self._api = api
        self._write_line = write_line
        self._chain = Chain(build_fallbacks(config, rng=rng))
        self._channel = DeveloperChannel(config, context=_trust(config.ca), rng=rng)
        self._breaker = Breaker(config.breaker)
        self._is_observing = Strategy.OBSERVE in config.fallbacks
        self._replay = Replay(config, self._channel) if Strategy.OK in config.fallbacks else None
        self._before: list[Span] = []  # measured before there was an event
        self._early: tuple[PhaseFailed, float] | None = None  # and what failed, and when
        self._unanswered = ("", 0)  # the request id that gets no answer, and its tries

    async def run(self) -> None:
        """Serves until the Runtime API is lost or the task is cancelled; then leaves cleanly.

        Raises:
            RuntimeApiLost: nobody to serve.
            BridgeExit: ``faithful``, and the channel cannot be opened.
        """
        try:
            if Strategy.FAITHFUL in self._config.fallbacks:
                await self._begin_as_bridge()
            elif self._config.budgets.init_share > 0:
                await self._begin()
            while True:
                await self.serve(await self._api.next())
        finally:
            await self._channel.close()
            await self._chain.close()
            self._api.close()

    async def serve(self, invocation: Invocation) -> None:
        """Brings one answer and writes one line.

        Only ``faithful`` may bring none; it then writes a line at the first try, and at every
        doubling of their number, for the bridge it imitates tries without a pause.

        Raises:
            RuntimeApiLost: the Runtime API does not take the answer.
        """
        spans = SpanLog()
        spans.spans, self._before = self._before, []
        try:
            if self._is_observing:
                await self._observe(invocation, spans)
            else:
                await self._answer(invocation, spans)
        except NoAnswer as none:
            self._record_none(invocation, none, spans)
            await asyncio.sleep(none.pause)

    async def _begin(self) -> None:
        """Opens the channel ahead of the first event, within its share of the init phase.

        What was cut short by that share proves nothing: the first event tries again.
        """
        spans = SpanLog()
        budgets = self._config.budgets
        try:
            deadline = spans.now() + budgets.init_share + budgets.answer_reserve
            await self._channel.introduce(spans, deadline=deadline)
        except PhaseFailed as failed:
            if not failed.span.detail.get("clipped"):
                self._early = failed, time.time()
        self._before = spans.spans

    async def _begin_as_bridge(self) -> None:
        """Opens the channel before the first event, as SST's bridge does, and leaves as it does."""
        spans = SpanLog()
        try:
            await self._channel.introduce(spans)
        except PhaseFailed as failed:
            raise BridgeExit(explain_span(failed.span).sentence) from failed
        self._before = spans.spans

    async def _answer(self, invocation: Invocation, spans: SpanLog) -> None:
        decision, answered = await self._decide(invocation, spans)
        try:
            await self._reply(invocation, decision.answer, spans, started=answered)
        finally:
            self._record(invocation, decision, spans)
        is_answered = decision.strategy.is_developers and not decision.answer.is_error
        if self._replay is not None and is_answered:
            await self._bring_kept_events(self._replay, invocation.deadline)

    async def _bring_kept_events(self, replay: Replay, deadline: float) -> None:
        async for each in replay.run(deadline):
            spans = SpanLog()
            spans.spans = list(each.spans)
            self._record(each.invocation, Decision(Answer(b""), Strategy.OK, each.note), spans)

    async def _observe(self, invocation: Invocation, spans: SpanLog) -> None:
        """The same with a copy beside it, which is compared when the caller has its answer."""
        other = SpanLog()
        asking = _Asking(self._channel, self._question(invocation, other))
        copy = Copy(asking.ask())
        try:
            began = spans.now()
            decision = await self._chain.answer(invocation, observed(began))
            try:
                await self._reply(invocation, decision.answer, spans, started=spans.now())
            finally:
                seconds = self._config.budgets.observe_copy
                words = await copy.describe(decision.answer, seconds=seconds)
                spans.spans += other.spans
                noted = replace(decision, note=f"{decision.note}; {words}")
                self._record(invocation, noted, spans)
        finally:
            await copy.drop()

    async def _decide(self, invocation: Invocation, spans: SpanLog) -> tuple[Decision, float]:
        """Who answers, with what, and the monotonic second at which the answer was here."""
        now = time.time()
        if (blocked := self._breaker.blocked_by(now=now)) is not None:
            last, remark = blocked
            sentence = explain_span(last).sentence
            failure = Failure(last, remark=f"{remark} after {sentence}")
        else:
            question = self._question(invocation, spans)
            try:
                self._raise_early_failure()
                answer, answered = await self._channel.ask(question)
            except PhaseFailed as failed:
                self._breaker.note_failure(failed.span, now=time.time())
                asking = _Asking(self._channel, question)
                failure = Failure(failed.span, is_accepted=failed.is_accepted, channel=asking)
            else:
                self._breaker.note_success()
                return Decision(answer, Strategy.WORKER, self._remark()), answered
        began = spans.now()
        decision = await self._chain.answer(invocation, failure)
        ended = spans.now()
        if decision.strategy.is_developers:
            self._breaker.note_success()
        return replace(decision, note=f"{decision.note} in {ended - began:.3f} s"), ended

    def _remark(self) -> str:
        """Nothing, unless more than one developer's side has said HELLO."""
        count = len(self._channel.agreement.instances)
        return f"{count} developers' sides share this stage, and each answers" if count > 1 else ""

    def _raise_early_failure(self) -> None:
        """The first event need not wait again for what has just failed.

        An environment may wait for its first event for long; then the network may be another.
        """
        early, self._early = self._early, None
        if early is not None and 0 <= time.time() - early[1] < EARLY_AGE:
            raise early[0]

    def _question(self, invocation: Invocation, spans: SpanLog) -> Question:
        allowance = Allowance(self._config.budgets, invocation.deadline)
        return Question(invocation, allowance, spans)

    # --- the answer and the record ----------------------------------------------------------------

    async def _reply(
        self, invocation: Invocation, answer: Answer, spans: SpanLog, *, started: float
    ) -> None:
        wait = Wait("answer.post", self._config.budgets.answer_post)
        outcome, detail = Outcome.OK, {"bytes": len(answer.body)}
        try:
            async with asyncio.timeout(wait.seconds):
                status = await self._api.answer(invocation, answer)
            if status >= 400:
                outcome, detail = _explain_status(status), detail | {"status": status}
        except TimeoutError:
            self._api.close()  # whatever it still says belongs to no later question
            outcome = Outcome.TIMEOUT
        except RuntimeApiLost:
            outcome = Outcome.CLOSED
            raise
        finally:
            spans.add(Phase.REPLY, wait, started=started, outcome=outcome, detail=detail)

    def _record_none(self, invocation: Invocation, none: NoAnswer, spans: SpanLog) -> None:
        request_id, tries = self._unanswered
        tries = tries + 1 if request_id == invocation.request_id else 1
        self._unanswered = (invocation.request_id, tries)
        if tries & (tries - 1):
            return
        failed = next((s for s in reversed(spans.spans) if s.outcome is not Outcome.OK), None)
        what = explain_span(failed).sentence if failed is not None else "no phase was reached"
        note = f"{what}; no answer by faithful, try {tries}: {none}"
        nothing = Answer(b"")
        self._record(invocation, Decision(nothing, Strategy.FAITHFUL, note), spans)

    def _record(self, invocation: Invocation, decision: Decision, spans: SpanLog) -> None:
        record = InvocationRecord(
            request_id=invocation.request_id,
            worker_id=self._config.worker_id,
            cold=any(span.phase is Phase.RESOLVE for span in spans.spans),
            strategy=decision.strategy,
            started=invocation.received,
            finished=spans.now(),
            spans=tuple(sorted(spans.spans, key=lambda span: span.started)),
            note=decision.note,
        )
        line = encode_record(record)
        self._write_line(line)
        self._channel.report(line)


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"NATLESS_CA is {ca}, which holds no certificate: {error}") from error


def _explain_status(status: int) -> Outcome:
    """400 and 403: Lambda has given the invocation up. 413: the answer is too large."""
    return Outcome.CANCELLED if status in (400, 403, 410) else Outcome.HTTP_ERROR


class _Asking:
    """The developer's side, for one invocation."""

    def __init__(self, channel: DeveloperChannel, question: Question) -> None:
        self._channel = channel
        self._question = question

    async def ask(self, *, route: Route | None = None) -> Answer:
        answer, _ = await self._channel.ask(self._question, route=route)
        return answer

    def cancel(self, span: Span) -> None:
        self._channel.cancel(self._question.invocation.request_id, span=span)
