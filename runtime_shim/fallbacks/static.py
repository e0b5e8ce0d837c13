"""Answers with a payload that was configured."""

from __future__ import annotations

import json

from event_protocol.phases import Strategy
from runtime_shim.fallbacks.base import Failure
from runtime_shim.fallbacks.sources import Source, decide_source, decode_event, render_response
from runtime_shim.runtime_api import Answer, Invocation


class StaticFallback:
    """Always the same answer, ``NATLESS_STATIC``.

    A payload that is no HTTP response becomes the body of one, for the sources that would not take
    it as it is.

    Args:
        payload: JSON.
    """

    strategy = Strategy.STATIC

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        value = json.loads(payload)
        self._is_response = isinstance(value, dict) and isinstance(value.get("statusCode"), int)

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Always."""
        return True

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The payload. It never fails."""
        source = decide_source(decode_event(invocation.body))
        if source.is_http and not self._is_response:
            return render_response(source, 200, self._payload.decode())
        if source is Source.ALB:
            return self._complete()
        return Answer(self._payload)

    def _complete(self) -> Answer:
        """A load balancer refuses a response without this member."""
        return Answer(json.dumps({"isBase64Encoded": False} | json.loads(self._payload)).encode())

    async def close(self) -> None:
        """Nothing runs."""
