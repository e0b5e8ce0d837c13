"""Answers an HTTP-shaped event with a valid HTTP response that says what happened."""

from __future__ import annotations

import json
from typing import Any

from event_protocol.phases import Outcome, Strategy
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.fallbacks.sources import decide_source, decode_event, render_response
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span

_TIMEOUTS = {Outcome.TIMEOUT, Outcome.NAME_TIMEOUT}


class HttpFallback:
    """Answers 504 when a wait ran out and 502 for any other failure."""

    strategy = Strategy.HTTP

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether somebody waits for an HTTP response."""
        return decide_source(decode_event(invocation.body)).is_http

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The response.

        Raises:
            CannotAnswer: nobody waits for one.
        """
        source = decide_source(decode_event(invocation.body))
        if not source.is_http:
            raise CannotAnswer("the event is not a request over HTTP")
        status = 504 if failure.span.outcome in _TIMEOUTS else 502
        return render_response(source, status, json.dumps(_describe(failure)))

    async def close(self) -> None:
        """Nothing runs."""


def _describe(failure: Failure) -> dict[str, Any]:
    span = failure.span
    explanation = explain_span(span)
    return {
        "error": explanation.sentence,
        "errorType": explanation.error_type,
        "phase": span.phase,
        "outcome": span.outcome,
        "host": span.detail.get("host"),
        "address": span.detail.get("address"),
        "elapsed": round(span.duration, 3),
        "budget": {"name": span.budget, "seconds": span.budget_seconds},
        "hint": explanation.hint,
    }
