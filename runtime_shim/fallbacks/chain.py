"""The list of strategies of a function: the first that applies and has an answer wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_protocol.phases import Strategy
from runtime_shim.fallbacks.base import CannotAnswer, Failure, Fallback
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span

ASK_AGAIN = frozenset({Strategy.RETRY, Strategy.ROUTE, Strategy.POLL, Strategy.FAITHFUL})
"""Strategies whose answer is the developer's own: it must not be told to stop before them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who answered, with what, and one sentence about it for the record."""

    answer: Answer
    strategy: Strategy
    note: str


class Chain:
    """Asks its strategies in order.

    Args:
        fallbacks: the strategies; the last must always have an answer, as ``error`` has.
    """

    def __init__(self, fallbacks: Sequence[Fallback]) -> None:
        self._fallbacks = tuple(fallbacks)

    async def answer(self, invocation: Invocation, failure: Failure) -> Decision:
        """The first answer there is.

        Raises:
            NoAnswer: a strategy wants none to be given.
        """
        reasons: list[str] = [_describe(failure)]
        is_cancelled = False
        for fallback in self._fallbacks:
            if not fallback.applies(invocation, failure):
                continue
            if fallback.strategy not in ASK_AGAIN and not is_cancelled:
                is_cancelled = True  # before the answer, so that nobody works for nothing
                if failure.channel is not None:
                    failure.channel.cancel(failure.span)
            try:
                answer = await fallback.answer(invocation, failure)
            except CannotAnswer as reason:
                reasons.append(f"{fallback.strategy} could not: {reason}")
                failure = reason.failure or failure
                continue
            note = "; ".join([*reasons, f"answered by {fallback.strategy}"])
            return Decision(answer, fallback.strategy, note)
        raise AssertionError("the last strategy of a chain always answers")

    async def close(self) -> None:
        """Ends what the strategies run."""
        for fallback in self._fallbacks:
            await fallback.close()


def _describe(failure: Failure) -> str:
    return failure.remark or explain_span(failure.span).sentence
