"""The list of strategies of a function: the first that applies and has an answer wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_protocol.phases import Strategy
from runtime_shim.fallbacks.base import CannotAnswer, Failure, Fallback
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span


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
        """The first answer there is."""
        reasons: list[str] = []
        for fallback in self._fallbacks:
            if not fallback.applies(invocation, failure):
                continue
            try:
                answer = await fallback.answer(invocation, failure)
            except CannotAnswer as reason:
                reasons.append(f"{fallback.strategy} could not: {reason}")
                continue
            note = "; ".join([explain_span(failure.span).sentence, *reasons])
            return Decision(answer, fallback.strategy, f"{note}; answered by {fallback.strategy}")
        raise AssertionError("the last strategy of a chain always answers")

    async def close(self) -> None:
        """Ends what the strategies run."""
        for fallback in self._fallbacks:
            await fallback.close()
