"""Asks the developer's side over HTTPS alone, where a network lets no WebSocket through."""

from __future__ import annotations

import time
from dataclasses import replace

from event_protocol.phases import Strategy
from runtime_shim.breaker import OPENING
from runtime_shim.config import ShimConfig
from runtime_shim.errors import PhaseFailed
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.runtime_api import Answer, Invocation


class PollFallback:
    """Publishes over HTTP and fetches the answer by long polls at the relay. Kept while it works.

    Only our own relay has a door for it; AppSync answers 404.

    Args:
        config: the API's HTTP host.
    """

    strategy = Strategy.POLL

    def __init__(self, config: ShimConfig) -> None:
        self._config = config

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether the channel could not be opened, and there is time for another way."""
        left = invocation.deadline - self._config.budgets.answer_reserve - time.monotonic()
        return failure.channel is not None and failure.span.phase in OPENING and left > 0

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The developer's answer.

        Raises:
            CannotAnswer: HTTPS does not lead there either, or it did and then the call failed.
        """
        channel = failure.channel
        assert channel is not None
        try:
            return await channel.ask(route=replace(self._config.route, is_poll=True))
        except PhaseFailed as failed:
            if failed.phase not in OPENING:  # there it is open: what failed is the call
                failure = replace(failure, span=failed.span, is_accepted=failed.is_accepted)
            reason = f"over HTTPS: {failed.phase} {failed.span.outcome}"
            raise CannotAnswer(reason, failure=failure) from failed

    async def close(self) -> None:
        """Nothing runs."""
