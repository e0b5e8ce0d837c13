from __future__ import annotations

import json

from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.fallbacks.base import Failure
from runtime_shim.fallbacks.error import ErrorFallback
from runtime_shim.runtime_api import Invocation

INVOCATION = Invocation("id", {}, b"{}", received=0.0, deadline=1.0)


async def test_it_always_applies_and_fails_the_invocation_with_the_reason() -> None:
    failure = Failure(Span(Phase.DELIVER, 0.0, 16.0, Outcome.TIMEOUT, "dev.first", 16.0))
    fallback = ErrorFallback()
    assert fallback.applies(INVOCATION, failure)
    answer = await fallback.answer(INVOCATION, failure)
    assert answer.is_error
    assert answer.error_type == "LiveBridge.DeliverTimeout"
    body = json.loads(answer.body)
    assert list(body) == ["errorType", "errorMessage", "stackTrace"]
    assert body["stackTrace"] == []
    assert "dev.first" in body["errorMessage"]
    assert "Next: " in body["errorMessage"]
