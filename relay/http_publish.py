"""The publishing door: ``POST /event`` (developer guide, publish-http)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec
from aiohttp import web

from event_protocol.limits import Limits
from relay.auth.base import AccessDenied, AccessRequest, Operation
from relay.clock import Clock
from relay.config import Budgets
from relay.errors import Refusal
from relay.front import Visit
from relay.http_replies import Reply, answer_preflight, answer_unknown, encode_reply, refuse
from relay.hub import Hub, Route
from relay.namespaces import Api
from relay.publishing import NewIdentifier, accept_events, encode_outcome, find_target

_TOKENS = {"x-amzn-appsync-TokensConsumed": "1"}


class _Body(msgspec.Struct, gc=False):
    channel: str
    events: list[msgspec.Raw]


_read_body = msgspec.json.Decoder(_Body).decode


@dataclass(frozen=True, slots=True, eq=False)
class HttpPublish:
    """Publishes what is posted."""

    hub: Hub
    clock: Clock
    limits: Limits
    budgets: Budgets
    new_identifier: NewIdentifier

    async def __call__(
        self, request: web.BaseRequest, *, api: Api, visit: Visit
    ) -> web.StreamResponse:
        """Answers one request to ``/event``."""
        request_id = self.new_identifier()
        if request.method != "POST":
            if request.method == "OPTIONS":
                return answer_preflight(request, request_id=request_id)
            return answer_unknown(request_id=request_id)
        try:
            # The body came with the headers, as nearly always: then nothing is waited for.
            body = await (request.read() if request.content.is_eof() else self._read(request))
            parsed = _parse(body)
            key = request.headers.get("x-api-key", "")
            path = api.recall(parsed.channel, key, wall=self.clock.wall())
            if path is None:
                path = await self._authorize(
                    request, body, api=api, visit=visit, channel=parsed.channel
                )
            outcome = self._publish(parsed.events, api.channels.route(path), visit)
        except Refusal as refusal:
            return refuse(
                refusal.error_type, refusal.message, request_id=request_id, status=refusal.status
            )
        except AccessDenied as denied:
            return refuse(
                denied.error_type, denied.message, request_id=request_id, status=denied.error_code
            )
        except web.HTTPRequestEntityTooLarge:
            message = f"Request body is larger than {self.limits.request_bytes} bytes."
            return refuse("BadRequestException", message, request_id=request_id, status=413)
        return Reply(outcome, request_id=request_id, headers=_TOKENS)

    def answer_at_once(self, key: str, body: bytes, *, api: Api, visit: Visit) -> bytes | None:
        """The whole answer to a publish, if nothing about it needs a second look.

        Args:
            key: the API key that is presented.
            body: of the request.
            api: which API is asked.
            visit: whose publish it is.

        Returns:
            None where the publisher has to be asked who it is, or where anything is wrong: then
            nothing was done.
        """
        try:
            parsed = _read_body(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        path = api.recall(parsed.channel, key, wall=self.clock.wall())
        if path is None or not parsed.events:
            return None
        try:
            outcome = self._publish(parsed.events, api.channels.route(path), visit)
        except Refusal:
            return None
        return encode_reply(outcome, request_id=self.new_identifier(), headers=_TOKENS)

    async def _read(self, request: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout(self.budgets.request):
                return await request.read()
        except TimeoutError:
            raise Refusal("BadRequestException", "Request body is late.", status=408) from None

    def _publish(self, events: list[msgspec.Raw], route: Route, visit: Visit) -> bytes:
        limits = self.limits
        count = len(events)
        if count > limits.events_per_publish:
            message = f"Input exceeded {limits.events_per_publish} event limit"
            raise Refusal("BadRequestException", message)
        tails, size, too_large = accept_events(events, limits)
        if route.count and tails:
            self.hub.publish(route, tails, size=size)
        visit.received += len(tails)
        successful, failed = encode_outcome(count, too_large, self.new_identifier)
        return f'{{"failed":{failed},"successful":{successful}}}'.encode()

    async def _authorize(
        self, request: web.BaseRequest, body: bytes, *, api: Api, visit: Visit, channel: str
    ) -> str:
        """Asks for the right to publish there; returns the normalized channel."""
        parsed, namespace = find_target(api, channel)
        headers = {name.lower(): value for name, value in request.headers.items()}
        identity = await api.access.decide(
            AccessRequest(
                Operation.PUBLISH,
                headers,
                api.config.api_id,
                api.config.http_host,
                channel=parsed.path,
                namespace=namespace.name,
                raw_channel=channel,
                body=body,
                headers=headers,
                source_ip=visit.peer,
            ),
            namespace.publish_modes,
        )
        api.remember(
            channel,
            headers.get("x-api-key", ""),
            path=parsed.path,
            until=api.access.holds_until(identity, headers),
        )
        return parsed.path


def _parse(body: bytes) -> _Body:
    if not body:  # as AppSync's GraphQL door answers it (graphql/graphql-over-http#81)
        raise Refusal("MalformedHttpRequestException", "Request body is empty.")
    try:
        parsed = _read_body(body)
    except msgspec.ValidationError:
        message = "The body must be an object with the string channel and the list events."
        raise Refusal("BadRequestException", message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("BadRequestException", "The body is not valid JSON.") from None
    if not parsed.events:
        raise Refusal("BadRequestException", "events must hold at least one event.")
    return parsed
