"""Does what SST's bridge does when the channel fails, to reproduce what its users see.

Observed with the bridge of SST 4.17.1::

    nobody answered in 16 s       its sentence as a success, the status a string
    a publish failed              asks for the event again at once, gets the same one, and again
    the channel is lost           tries every 5 s, for ever
    the handler does not answer   waits; Lambda's own timeout is the first to end

Meant for the profile ``sst``, whose waits have the same ends.
"""

from __future__ import annotations

import asyncio
import json
import math

from event_protocol.phases import Outcome, Phase, Strategy
from runtime_shim.breaker import OPENING
from runtime_shim.config import ShimConfig
from runtime_shim.fallbacks.base import Failure, NoAnswer
from runtime_shim.fallbacks.sst_text import sst_text
from runtime_shim.runtime_api import Answer, Invocation


class FaithfulFallback:
    """Hangs and loops as the bridge does.

    Args:
        config: the worker's name and the budgets.
    """

    strategy = Strategy.FAITHFUL

    def __init__(self, config: ShimConfig) -> None:
        self._worker_id = config.worker_id
        self._budgets = config.budgets

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Always."""
        return True

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The bridge's sentence, where it has one.

        Raises:
            NoAnswer: where it has none.
        """
        span = failure.span
        if span.outcome is Outcome.TIMEOUT and span.detail.get("clipped"):
            raise NoAnswer(math.inf)  # the bridge does not look at the deadline: Lambda ends it
        if span.phase is Phase.PUBLISH:
            raise NoAnswer(0.0)
        if span.phase in OPENING:
            raise NoAnswer(self._budgets.reconnect_max)
        if span.phase is Phase.HANDLE and span.outcome is not Outcome.TIMEOUT:
            raise NoAnswer(math.inf)
        # A channel that is lost while it waits is no news to the bridge: it waits on.
        await asyncio.sleep(max(0.0, self._budgets.dev_first - span.duration))
        text = {"body": sst_text(self._worker_id), "statusCode": "500"}
        return Answer(json.dumps(text, separators=(",", ":")).encode())

    async def close(self) -> None:
        """Nothing runs."""
