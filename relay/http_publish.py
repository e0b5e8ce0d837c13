"""The publishing door: ``POST /event`` (developer guide, publish-http)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from event_protocol.limits import Limits
from relay.auth.base import AccessDenied, AccessRequest, Operation
from relay.clock import Clock
from relay.config import Budgets
from relay.errors import Refusal
from relay.front import Visit
from relay.http_replies import answer, answer_preflight, answer_unknown, refuse
from relay.hub import Hub
from relay.namespaces import Api, ChannelNamespace
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
        if request.method == "OPTIONS":
            return answer_preflight(request, request_id=request_id)
        if request.method != "POST":
            return answer_unknown(request_id=request_id)
        try:
            body = await self._read(request)
            outcome = await self._publish(request, body, api=api, visit=visit)
        except Refusal as refusal:
            return refuse(
                refusal.error_type, refusal.message, request_id=request_id, status=refusal.status
            )
        except AccessDenied as denied:
            return refuse(
                denied.error_type, denied.message, request_id=request_id, status=denied.error_code
            )
        return answer(outcome, request_id=request_id, headers=_TOKENS)

    async def _read(self, request: web.BaseRequest) -> bytes:
        try:
            if request.content.is_eof():  # it came with the headers, as nearly always
                return await request.read()
            async with asyncio.timeout(self.budgets.request):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            message = f"Request body is larger than {self.limits.request_bytes} bytes."
            raise Refusal("BadRequestException", message, status=413) from None
        except TimeoutError:
            raise Refusal("BadRequestException", "Request body is late.", status=408) from None

    async def _publish(
        self, request: web.BaseRequest, body: bytes, *, api: Api, visit: Visit
    ) -> bytes:
        parsed = _parse(body)
        channel, namespace = find_target(api, parsed.channel)
        await self._authorize(
            request,
            body,
            api=api,
            visit=visit,
            channel=channel.path,
            namespace=namespace,
            raw_channel=parsed.channel,
        )
        limits = self.limits
        count = len(parsed.events)
        if count > limits.events_per_publish:
            message = f"Input exceeded {limits.events_per_publish} event limit"
            raise Refusal("BadRequestException", message)
        accepted = accept_events(parsed.events, limits)
        if accepted.tails:
            route = api.channels.route(channel.path)
            self.hub.publish(route, accepted.tails, size=accepted.size)
        visit.received += len(accepted.tails)
        successful, failed = encode_outcome(count, accepted.too_large, self.new_identifier)
        return f'{{"failed":{failed},"successful":{successful}}}'.encode()

    async def _authorize(
        self,
        request: web.BaseRequest,
        body: bytes,
        *,
        api: Api,
        visit: Visit,
        channel: str,
        namespace: ChannelNamespace,
        raw_channel: str,
    ) -> None:
        headers = request.headers
        key = headers.get("x-api-key", "").encode()
        allowed = namespace.publish_modes
        if key and api.access.recall(key, allowed, wall=self.clock.wall()):
            return
        lowered = _lower(headers)
        identity = await api.access.decide(
            AccessRequest(
                Operation.PUBLISH,
                lowered,
                api.config.api_id,
                api.config.http_host,
                channel=channel,
                namespace=namespace.name,
                raw_channel=raw_channel,
                body=body,
                headers=lowered,
                source_ip=visit.peer,
            ),
            allowed,
        )
        api.access.remember(key, allowed, credentials=lowered, identity=identity)


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


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
