"""Publishes events over HTTP, ``POST /event``, in three steps with a limit of their own.

::

    publish.tcp     name and connection      30 s in Go's default transport
    publish.tls     the TLS handshake        10 s
    publish.answer  request to reply         no limit

Three waits and so three kinds of timeout: each is a span of its own. Request and reply: AWS AppSync
Events developer guide, "Publish events via HTTP". The profile ``sst`` opens a connection for each
event: Go would keep it, but that is what the bridge does through a proxy, and it measures every
publish alike. ``poll`` keeps its connection.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from event_protocol.handshake import redact
from event_protocol.phases import Outcome, Phase
from runtime_shim.budgets import Allowance
from runtime_shim.config import ShimConfig
from runtime_shim.dialect import make_dialect
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.http_messages import HttpMessage, MalformedMessage
from runtime_shim.https import HttpsConnection
from runtime_shim.routes import Endpoint
from runtime_shim.timing import SpanLog, explain_exception, publish_result

BODY_EXCERPT = 200  # characters of a refusal's body that a span keeps


class HttpPublisher:
    """Publishes to the developer's channel.

    Args:
        config: the API's HTTP host, the key, and who we are.
        context: whom to trust.
        keeps: whether the connection is used again.
    """

    def __init__(self, config: ShimConfig, *, context: ssl.SSLContext, keeps: bool = False) -> None:
        target = Endpoint.parse(config.http_host)
        self._channel = make_dialect(config).developer
        self._connection = HttpsConnection(
            target, context=context, api_key=config.api_key, proxy=config.proxy
        )
        self._keeps = keeps
        self._turn = asyncio.Lock()

    async def publish(
        self, event: str, *, allowance: Allowance, spans: SpanLog, detail: dict[str, Any]
    ) -> None:
        """Publishes one event; each of its steps is a span.

        Args:
            event: the text of the event.
            allowance: the budgets.
            spans: where the steps are noted.
            detail: the facts known so far.

        Raises:
            PhaseFailed: at the first step that did not end well.
        """
        async with self._turn:
            was_kept = self._keeps and self._connection.is_open
            try:
                await self._publish_once(event, allowance=allowance, spans=spans, detail=detail)
            except PhaseFailed as failed:
                if not was_kept or failed.span.outcome not in (Outcome.CLOSED, Outcome.RESET):
                    raise
                # A kept connection had ended unseen. The packet may have got through: whoever
                # puts messages together drops what it has.
                await self._publish_once(event, allowance=allowance, spans=spans, detail=detail)

    def close(self) -> None:
        """Drops a kept connection."""
        self._connection.close()

    async def _publish_once(
        self, event: str, *, allowance: Allowance, spans: SpanLog, detail: dict[str, Any]
    ) -> None:
        connection = self._connection
        facts = {"host": connection.target.host, "port": connection.target.port} | detail
        step = _Step(allowance, spans, facts)
        is_done = False
        try:
            if not connection.is_open:
                async with step.observe("tcp") as told:
                    address = (await connection.resolve())[0]
                    told["address"] = facts["address"] = address
                    await connection.connect(address)
                async with step.observe("tls"):
                    await connection.start_tls()
            async with step.observe("answer") as told:
                told["status"] = 200
                _check(await self._exchange(event))
            is_done = True
        finally:
            if not (is_done and self._keeps):
                connection.close()

    async def _exchange(self, event: str) -> HttpMessage:
        body = {"channel": self._channel, "events": [event]}
        headers = {} if self._keeps else {"Connection": "close"}
        return await self._connection.post("/event", body, headers=headers)


class _Step:
    """The steps of one publish, each a span under a budget of its own."""

    def __init__(self, allowance: Allowance, spans: SpanLog, facts: dict[str, Any]) -> None:
        self._allowance = allowance
        self._spans = spans
        self._facts = facts

    @asynccontextmanager
    async def observe(self, step: str) -> AsyncIterator[dict[str, Any]]:
        wait = self._allowance.wait(f"publish.{step}", now=self._spans.now())
        detail = self._facts | {"step": step, "result": "ok"}
        timeout = Obstacle(Outcome.TIMEOUT, result=f"timeout:{step}")
        async with self._spans.observe(Phase.PUBLISH, wait, detail, on_timeout=lambda: timeout):
            try:
                yield detail
            except TimeoutError:
                raise  # the kernel's, for the budget's own is not raised in here
            except (Obstacle, OSError, EOFError, MalformedMessage) as error:
                raise _name(error, step) from error


def _name(error: Exception, step: str) -> Obstacle:
    if isinstance(error, EOFError | MalformedMessage):
        obstacle = Obstacle(Outcome.CLOSED, message="the host ended the connection unasked")
    else:
        obstacle = explain_exception(error, Phase.PUBLISH)
    result = publish_result(obstacle.outcome, obstacle.facts, step=step)
    return Obstacle(obstacle.outcome, **(dict(obstacle.facts) | {"result": result}))


def _check(reply: HttpMessage) -> None:
    """Nothing for an event that was accepted; its refusal otherwise."""
    text = redact(reply.body.decode("utf-8", "replace").strip()[:BODY_EXCERPT])
    if reply.status != 200:
        raise Obstacle(Outcome.HTTP_ERROR, status=reply.status, message=text)
    try:
        failed = json.loads(reply.body)["failed"]
    except (ValueError, KeyError, TypeError) as error:
        raise Obstacle(Outcome.HTTP_ERROR, status=200, message=text) from error
    if failed:
        first = failed[0] if isinstance(failed, list) and isinstance(failed[0], dict) else {}
        raise Obstacle(
            Outcome.DENIED,
            error_type=str(first.get("code", "")),
            message=redact(str(first.get("message", ""))[:BODY_EXCERPT]),
        )
