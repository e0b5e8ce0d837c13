"""Says what SST's bridge says when nobody answers, with a status that API Gateway accepts.

The bridge gives the status as a string, which API Gateway replaces by an error of its own; and it
says so to queues as well, which take it for success. This does neither.
"""

from __future__ import annotations

import json

from event_protocol.phases import Strategy
from runtime_shim.fallbacks.base import Failure
from runtime_shim.fallbacks.sources import Source, decide_source, decode_event, render_response
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span


class SstTextFallback:
    """Answers ``sst dev is not running (worker: …)`` with status 500.

    Args:
        worker_id: the environment that the sentence names.
    """

    strategy = Strategy.SST_TEXT

    def __init__(self, worker_id: str) -> None:
        self._text = sst_text(worker_id)

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether a caller reads the answer; for others it would be a success and a lost event."""
        source = decide_source(decode_event(invocation.body))
        return source.is_http or source is Source.PLAIN

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The sentence. It never fails. What really happened is in a header."""
        source = decide_source(decode_event(invocation.body))
        if not source.is_http:
            return Answer(json.dumps({"body": self._text, "statusCode": 500}).encode())
        error_type = explain_span(failure.span).error_type
        headers = {"content-type": "text/plain", "x-natless-error": error_type}
        return render_response(source, 500, self._text, headers=headers)

    async def close(self) -> None:
        """Nothing runs."""


def sst_text(worker_id: str) -> str:
    """The sentence of SST's bridge, observed with 4.17.1."""
    return f"sst dev is not running (worker: {worker_id})"
