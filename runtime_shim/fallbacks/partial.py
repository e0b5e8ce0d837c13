"""Tells a queue or a stream to deliver every record of the batch again.

Only an event source mapping with ``ReportBatchItemFailures`` reads this answer. Without it Lambda
takes any answer for success and the records are gone; the guest cannot see which it is.
"""

from __future__ import annotations

from event_protocol.phases import Strategy
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.fallbacks.sources import batch_ids, decide_source, decode_event, render_failures
from runtime_shim.runtime_api import Answer, Invocation


class PartialFallback:
    """Answers ``batchItemFailures`` with the id of every record."""

    strategy = Strategy.PARTIAL

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether this is a batch, and each of its records can be named."""
        return bool(_ids(invocation))

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The ids.

        Raises:
            CannotAnswer: there are none.
        """
        ids = _ids(invocation)
        if not ids:
            raise CannotAnswer("the event is not a batch whose records can be named")
        return render_failures(ids)

    async def close(self) -> None:
        """Nothing runs."""


def _ids(invocation: Invocation) -> list[str]:
    event = decode_event(invocation.body)
    return batch_ids(event, decide_source(event))
