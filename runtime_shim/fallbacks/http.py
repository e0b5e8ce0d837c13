"""Answers an HTTP-shaped event with a valid HTTP response that says what happened.

Shapes of the events and of the response: AWS developer guides, "Lambda proxy integrations"
(API Gateway REST, payload 1.0; HTTP APIs and function URLs, payload 2.0) and "Lambda functions as
targets" (Application Load Balancer). ``statusCode`` is an integer: API Gateway replaces an answer
whose status is a string by an error of its own.
"""

from __future__ import annotations

import json
from typing import Any

from event_protocol.phases import Outcome, Strategy
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span

_TIMEOUTS = {Outcome.TIMEOUT, Outcome.NAME_TIMEOUT}
_REASONS = {502: "502 Bad Gateway", 504: "504 Gateway Timeout"}


class HttpFallback:
    """Answers 504 when a wait ran out and 502 for any other failure."""

    strategy = Strategy.HTTP

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether somebody waits for an HTTP response."""
        return decide_shape(_decode(invocation.body)) is not None

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The response.

        Raises:
            CannotAnswer: nobody waits for one.
        """
        shape = decide_shape(_decode(invocation.body))
        if shape is None:
            raise CannotAnswer("the event is not a request over HTTP")
        response = _response(failure)
        if shape == "alb":
            response |= _for_load_balancer(response)
        return Answer(json.dumps(response).encode())

    async def close(self) -> None:
        """Nothing runs."""


def decide_shape(event: Any) -> str | None:  # noqa: ANN401  an event is any JSON
    """``alb``, ``1.0`` or ``2.0`` for an event that wants an HTTP response; None for others.

    A request authorizer's event looks like a request and wants a policy; a WebSocket API's has no
    method at all.
    """
    if not isinstance(event, dict) or not isinstance(event.get("requestContext"), dict):
        return None
    context = event["requestContext"]
    if "methodArn" in event or "routeArn" in event:
        return None
    if "elb" in context and "httpMethod" in event:
        return "alb"
    if isinstance(context.get("http"), dict) and "method" in context["http"]:
        return "2.0"
    return "1.0" if isinstance(event.get("httpMethod"), str) else None


def _decode(body: bytes) -> Any:  # noqa: ANN401
    try:
        return json.loads(body)
    except ValueError:
        return None


def _response(failure: Failure) -> dict[str, Any]:
    span = failure.span
    explanation = explain_span(span)
    status = 504 if span.outcome in _TIMEOUTS else 502
    body = {
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
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def _for_load_balancer(response: dict[str, Any]) -> dict[str, Any]:
    """What a load balancer wants besides.

    The status in words, and one of two kinds of headers: it reads the kind that its target group is
    configured for, so both are given.
    """
    return {
        "statusDescription": _REASONS[response["statusCode"]],
        "multiValueHeaders": {name: [value] for name, value in response["headers"].items()},
    }
