"""Asks the developer's side by another way: another host, a proxy, another address family."""

from __future__ import annotations

import time
from dataclasses import replace

from event_protocol.phases import Strategy
from runtime_shim.breaker import OPENING
from runtime_shim.config import ShimConfig
from runtime_shim.errors import PhaseFailed
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.routes import Route, other_families
from runtime_shim.runtime_api import Answer, Invocation


class RouteFallback:
    """Tries every way that was configured, and the other address family. One that works is kept.

    Args:
        config: the ways.
    """

    strategy = Strategy.ROUTE

    def __init__(self, config: ShimConfig) -> None:
        self._config = config

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether the channel could not be opened, and there is another way."""
        is_closed = failure.span.phase in OPENING
        return failure.channel is not None and is_closed and bool(self.candidates(failure))

    def candidates(self, failure: Failure) -> list[Route]:
        """The other ways in the order they are tried: hosts, past the proxy, the other family."""
        usual = self._config.route
        routes = list(self._config.routes)
        if usual.proxy is not None:
            return [*routes, replace(usual, proxy=None)]  # the address was the proxy's
        families = other_families(str(failure.span.detail.get("address", "")))
        return routes + [replace(usual, family=family) for family in families]

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The developer's answer.

        Raises:
            CannotAnswer: no way leads there, or one did and then the call failed.
        """
        channel = failure.channel
        assert channel is not None
        tried = []
        for route in self.candidates(failure):
            if time.monotonic() >= invocation.deadline - self._config.budgets.answer_reserve:
                tried.append("no time for more")
                break
            try:
                return await channel.ask(route=route)
            except PhaseFailed as failed:
                tried.append(f"{route}: {failed.phase} {failed.span.outcome}")
                if failed.phase not in OPENING:  # there it is open: what failed is the call
                    failure = replace(failure, span=failed.span, is_accepted=failed.is_accepted)
                    break
        raise CannotAnswer(", ".join(tried), failure=failure)

    async def close(self) -> None:
        """Nothing runs."""
