"""Fails the invocation at once, with the reason: the last of every list."""

from __future__ import annotations

from event_protocol.phases import Strategy
from runtime_shim.fallbacks.base import Failure
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span


class ErrorFallback:
    """Posts an error whose type names phase and kind, and whose message says what to do next."""

    strategy = Strategy.ERROR

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Always."""
        return True

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The reason as an error of the function. It never fails."""
        explanation = explain_span(failure.span)
        return Answer.error(explanation.error_type, explanation.message)

    async def close(self) -> None:
        """Nothing runs."""
