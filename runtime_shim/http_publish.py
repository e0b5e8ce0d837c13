"""Publishes events over HTTP, as SST's bridge does: ``POST /event``, a connection for each.

::

    publish.tcp     name and connection      30 s in Go's default transport
    publish.tls     the TLS handshake        10 s
    publish.answer  request to reply         no limit

Three waits and so three kinds of timeout: each is a span of its own. Request and reply: AWS AppSync
Events developer guide, "Publish events via HTTP". Go would keep the connection; a new one for each
event is what the bridge does through a proxy, and it measures every publish alike.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from event_protocol.handshake import redact
from event_protocol.live import dev_channel
from event_protocol.phases import Outcome, Phase
from runtime_shim.budgets import Allowance
from runtime_shim.config import ShimConfig
from runtime_shim.errors import Obstacle
from runtime_shim.http_messages import (
    HEAD_BYTES,
    HttpMessage,
    MalformedMessage,
    encode_message,
    read_body,
    read_head,
)
from runtime_shim.names import resolve
from runtime_shim.routes import Endpoint
from runtime_shim.timing import SpanLog, explain_exception, publish_result

BODY_EXCERPT = 200  # characters of a refusal's body that a span keeps
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HttpPublisher:
    """Publishes to the developer's channel.

    Args:
        config: the API's HTTP host, the key, and who we are.
        context: whom to trust.
    """

    def __init__(self, config: ShimConfig, *, context: ssl.SSLContext) -> None:
        self._target = Endpoint.parse(config.http_host)
        self._channel = dev_channel(config.app, config.stage, config.namespace)
        self._api_key = config.api_key
        self._context = context

    async def publish(
        self, event: str, *, allowance: Allowance, spans: SpanLog, detail: dict[str, Any]
    ) -> None:
        """Publishes one event; its three steps are three spans.

        Args:
            event: the text of the event.
            allowance: the budgets.
            spans: where the steps are noted.
            detail: the facts known so far.

        Raises:
            PhaseFailed: at the first step that did not end well.
        """
        facts = {"host": self._target.host, "port": self._target.port} | detail
        step = _Step(allowance, spans, facts)
        connection: _Streams | None = None
        try:
            async with step.observe("tcp") as told:
                address = (await resolve(self._target))[0][4][0]
                told["address"] = facts["address"] = address
                connection = await asyncio.open_connection(
                    address, self._target.port, limit=HEAD_BYTES
                )
            async with step.observe("tls"):
                await connection[1].start_tls(self._context, server_hostname=self._target.host)
            async with step.observe("answer") as told:
                told["status"] = 200
                _check(await self._exchange(connection, event))
        finally:
            if connection is not None:
                connection[1].transport.abort()

    async def _exchange(self, connection: _Streams, event: str) -> HttpMessage:
        reader, writer = connection
        body = {"channel": self._channel, "events": [event]}
        headers = {
            "Host": str(self._target).removesuffix(":443"),
            "Content-Type": "application/json",
            "x-api-key": self._api_key,
            "Connection": "close",
        }
        text = json.dumps(body, separators=(",", ":")).encode()
        writer.write(encode_message("POST /event HTTP/1.1", headers, text))
        await writer.drain()
        return await read_body(reader, await read_head(reader))


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
