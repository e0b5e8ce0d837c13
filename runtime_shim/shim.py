"""The guest's life: take an event, bring an answer, say what was measured, again.

Every invocation gets exactly one answer and exactly one line in the log, whatever happens to the
channel. The line leaves over the log and not over the network that it measures.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy, encode_record
from runtime_shim.budgets import Allowance, Wait
from runtime_shim.call import Call
from runtime_shim.config import ShimConfig
from runtime_shim.errors import ConfigError, PhaseFailed, RuntimeApiLost
from runtime_shim.fallbacks.base import Failure, Fallback
from runtime_shim.fallbacks.chain import Chain, Decision
from runtime_shim.fallbacks.deployed import DeployedFallback
from runtime_shim.fallbacks.error import ErrorFallback
from runtime_shim.fallbacks.http import HttpFallback
from runtime_shim.link import Link
from runtime_shim.runtime_api import Answer, Invocation, RuntimeApiClient
from runtime_shim.timing import SpanLog

_LOST_CHANNEL = {Outcome.CLOSED, Outcome.RESET}


class Shim:
    """One execution environment.

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
        self._config = config
        self._api = api
        self._write_line = write_line
        self._chain = Chain([_build_fallback(each, config) for each in config.fallbacks])
        self._context = _trust(config.ca)
        self._link: Link | None = None
        self._is_introduced = False

    async def run(self) -> None:
        """Serves until the Runtime API is lost or the task is cancelled; then leaves cleanly.

        Raises:
            RuntimeApiLost: nobody to serve.
        """
        try:
            while True:
                await self.serve(await self._api.next())
        finally:
            await self._drop_link()
            await self._chain.close()
            self._api.close()

    async def serve(self, invocation: Invocation) -> None:
        """Brings one answer and writes one line.

        Raises:
            RuntimeApiLost: the Runtime API does not take the answer.
        """
        spans = SpanLog()
        decision, answered = await self._decide(invocation, spans)
        try:
            await self._reply(invocation, decision.answer, spans, started=answered)
        finally:
            self._record(invocation, decision, spans)

    async def _decide(self, invocation: Invocation, spans: SpanLog) -> tuple[Decision, float]:
        """Who answers, with what, and the monotonic second at which the answer was here."""
        allowance = Allowance(self._config.budgets, invocation.deadline)
        try:
            return await self._ask_developer(invocation, allowance, spans)
        except PhaseFailed as failed:
            failure = Failure(failed.span, is_accepted=failed.is_accepted)
        # From here on nobody listens to the channel: what still comes is dropped.
        if not self._has_warm_link() or _is_doubtful(failure.span):
            await self._drop_link()
        began = spans.now()
        decision = await self._chain.answer(invocation, failure)
        ended = spans.now()
        return replace(decision, note=f"{decision.note} in {ended - began:.3f} s"), ended

    # --- the channel ------------------------------------------------------------------------------

    async def _ask_developer(
        self, invocation: Invocation, allowance: Allowance, spans: SpanLog
    ) -> tuple[Decision, float]:
        is_kept = self._has_warm_link()
        try:
            return await self._call(invocation, allowance, spans)
        except PhaseFailed as failed:
            if not (is_kept and _was_dead(failed)):
                raise
        # A kept channel turned out to be dead: one new channel, within the same deadline. If the
        # event had got through all the same, the developer's side sees its request id twice.
        await self._drop_link()
        return await self._call(invocation, allowance, spans)

    async def _call(
        self, invocation: Invocation, allowance: Allowance, spans: SpanLog
    ) -> tuple[Decision, float]:
        link = await self._open_link(allowance, spans)
        call = Call(link, self._config, invocation=invocation, allowance=allowance, spans=spans)
        answer = await call.run(is_new=not self._is_introduced)
        self._is_introduced = True
        return Decision(answer, Strategy.WORKER, ""), call.answered_at

    def _has_warm_link(self) -> bool:
        link = self._link
        return link is not None and link.is_open and link.age < self._config.budgets.warm_max_age

    async def _open_link(self, allowance: Allowance, spans: SpanLog) -> Link:
        if self._link is None or not self._has_warm_link():
            await self._drop_link()
            self._link = await Link.open(
                self._config, context=self._context, allowance=allowance, spans=spans
            )
        return self._link

    async def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

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
        self._write_line(encode_record(record))


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"NATLESS_CA is {ca}, which holds no certificate: {error}") from error


def _was_dead(failed: PhaseFailed) -> bool:
    is_lost = failed.span.outcome in _LOST_CHANNEL
    return failed.phase is Phase.PUBLISH and is_lost and not failed.is_accepted


def _is_doubtful(span: Span) -> bool:
    """A channel that swallows what is sent is not worth another try."""
    return span.phase is Phase.PUBLISH and span.outcome is Outcome.TIMEOUT


def _explain_status(status: int) -> Outcome:
    """400 and 403: Lambda has given the invocation up. 413: the answer is too large."""
    return Outcome.CANCELLED if status in (400, 403, 410) else Outcome.HTTP_ERROR


def _build_fallback(strategy: Strategy, config: ShimConfig) -> Fallback:
    if strategy is Strategy.DEPLOYED:
        return DeployedFallback(config)
    return HttpFallback() if strategy is Strategy.HTTP else ErrorFallback()
