"""Publishes once more, after a pause, when the channel refused the event or did not say."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from random import Random

from event_protocol.phases import Outcome, Phase, Span, Strategy
from runtime_shim.backoff import pauses
from runtime_shim.budgets import Budgets
from runtime_shim.errors import PhaseFailed
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.runtime_api import Answer, Invocation

_FINAL = frozenset({"UnauthorizedException", "AccessDeniedException", "BadRequestException"})
"""Refusals that would be the same again."""


class RetryFallback:
    """Asks the developer's side again, ``publish.attempts`` times in all.

    An event whose publish got no answer may have got through: the developer's side then sees its
    request id twice. The caller gets one answer, the first that comes.

    Args:
        budgets: how often, and the pauses between.
        rng: of the pauses.
    """

    strategy = Strategy.RETRY

    def __init__(self, budgets: Budgets, *, rng: Random) -> None:
        self._budgets = budgets
        self._rng = rng

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether the publish is what failed, and another might not."""
        return failure.channel is not None and self._may_help(failure)

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The developer's answer.

        Raises:
            CannotAnswer: every try failed, or the last one failed otherwise: that is what the next
                strategy answers.
        """
        channel = failure.channel
        assert channel is not None
        tries = 1
        between = pauses(
            self._budgets.publish_pause, self._budgets.publish_pause_max, rng=self._rng
        )
        while self._may_help(failure) and tries < self._budgets.publish_attempts:
            pause = next(between)
            if self._left(invocation) <= pause:
                raise CannotAnswer(f"no time for try {tries + 1}", failure=failure)
            await asyncio.sleep(pause)
            tries += 1
            try:
                return await channel.ask()
            except PhaseFailed as failed:
                failure = replace(failure, span=failed.span, is_accepted=failed.is_accepted)
        span = failure.span
        raise CannotAnswer(f"try {tries} ended {span.phase} {span.outcome}", failure=failure)

    async def close(self) -> None:
        """Nothing runs."""

    def _may_help(self, failure: Failure) -> bool:
        return (
            failure.span.phase is Phase.PUBLISH
            and not failure.is_accepted
            and not _is_final(failure.span)
        )

    def _left(self, invocation: Invocation) -> float:
        return invocation.deadline - self._budgets.answer_reserve - time.monotonic()


def _is_final(span: Span) -> bool:
    if span.outcome is Outcome.DENIED:
        return span.detail.get("error_type") in _FINAL
    status = span.detail.get("status")
    is_clients = isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
    return span.outcome is Outcome.HTTP_ERROR and is_clients
