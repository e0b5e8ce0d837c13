"""The GraphQL door: queries and mutations over HTTP, and upgrades to subscriptions.

::

    POST /graphql ─ who? ─ parse ─ validate ─ execute ──> answer
                                                 └ publications ──> ListenerTable ──> hub
    GET /graphql, /graphql/realtime + Upgrade ──> GraphqlConnection

It serves one API, the generic publish and subscribe one of AppSync's console, for each Event API
and with that one's credentials: keys and identities are the same, channel namespaces play no part.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from aiohttp import web

from relay.auth.base import AccessDenied, AccessRequest, Identity, Operation
from relay.errors import Refusal
from relay.front import Visit
from relay.graphql_realtime import (
    OPERATION_PATH,
    GraphqlConnection,
    load_schema,
    read_question,
)
from relay.graphql_table import ListenerTable
from relay.http_replies import Reply, answer_preflight, answer_unknown, refuse
from relay.link import Shared
from relay.namespaces import Api

PREFIX = "/graphql"

_NOT_PRESENTED = "Valid authorization header not provided."  # aws-amplify/amplify-js#4373


class Tables:
    """The listeners of each API, for as long as it exists; they outlive a reload."""

    def __init__(self) -> None:
        self._tables: WeakKeyDictionary[Api, ListenerTable] = WeakKeyDictionary()

    def of(self, api: Api) -> ListenerTable:
        """The listeners of an API."""
        return self._tables.setdefault(api, ListenerTable())


@dataclass(frozen=True, slots=True, eq=False)
class Graphql:
    """Answers requests under :data:`PREFIX`.

    Attributes:
        shared: what all WebSockets share.
        tables: who listens.
    """

    shared: Shared
    tables: Tables = field(default_factory=Tables)

    async def __call__(
        self, request: web.BaseRequest, *, api: Api | None, visit: Visit
    ) -> web.StreamResponse:
        """Answers one request, or stays until a WebSocket is over."""
        request_id = self.shared.new_identifier()
        if api is None:
            return answer_unknown(request_id=request_id)
        if request.headers.get("Upgrade", "").strip().lower() == "websocket":
            connection = GraphqlConnection(
                request, visit, api=api, shared=self.shared, table=self.tables.of(api)
            )
            return await connection.serve()
        if request.method == "OPTIONS":
            return answer_preflight(request, request_id=request_id)
        if request.method != "POST" or not request.path.endswith(PREFIX):
            return answer_unknown(request_id=request_id)
        try:
            body = await self._read(request)
            answer = await self._perform(request, body, api=api, visit=visit)
        except (Refusal, AccessDenied) as refused:
            status = refused.status if isinstance(refused, Refusal) else refused.error_code
            return refuse(refused.error_type, refused.message, request_id=request_id, status=status)
        return Reply(answer, request_id=request_id)

    async def _read(self, request: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout(self.shared.budgets.request):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            message = f"Request body is larger than {self.shared.limits.request_bytes} bytes."
            raise Refusal("BadRequestException", message, status=413) from None
        except TimeoutError:
            raise Refusal("BadRequestException", "Request body is late.", status=408) from None

    async def _perform(
        self, request: web.BaseRequest, body: bytes, *, api: Api, visit: Visit
    ) -> bytes:
        await load_schema()
        from relay.graphql_schema import Request, RequestIllegal, perform, read_request

        wanted: Request | Refusal
        document: object = None
        try:
            document = _parse(body)
            wanted = read_request(document)
        except RequestIllegal as error:
            wanted = Refusal("MalformedHttpRequestException", str(error))
        except Refusal as refusal:
            wanted = refusal
        # Who may not ask is not told what is wrong with the question.
        is_mutation = isinstance(wanted, Request) and wanted.kind == "mutation"
        operation = Operation.PUBLISH if is_mutation else Operation.CONNECT
        asked = self._ask(request, operation, body, api=api, visit=visit)
        identity = await self._authorize(replace(asked, graphql=read_question(document)), api)
        if isinstance(wanted, Refusal):
            raise wanted
        outcome = perform(wanted, denied=identity.denied_fields)
        limit = self.shared.limits.event_bytes
        if any(len(one.data.encode("utf-8", "replace")) > limit for one in outcome.publications):
            message = f"The payload of a subscription may have {limit} bytes."
            return _dump({"data": None, "errors": [{"path": None, "message": message}]})
        self.tables.of(api).publish(outcome.publications, hub=self.shared.hub)
        visit.received += len(outcome.publications)
        return _dump(outcome.answer)

    def _ask(
        self,
        request: web.BaseRequest,
        operation: Operation,
        body: bytes,
        *,
        api: Api,
        visit: Visit,
    ) -> AccessRequest:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return AccessRequest(
            operation,
            headers,
            api.config.api_id,
            api.config.http_host,
            body=body,
            headers=headers,
            source_ip=visit.peer,
            path=OPERATION_PATH,
        )

    async def _authorize(self, asked: AccessRequest, api: Api) -> Identity:
        try:
            return await api.access.decide(asked, api.modes.of(asked.operation))
        except AccessDenied as denied:
            if denied.message is None:
                raise AccessDenied(_NOT_PRESENTED) from None
            raise


def _parse(body: bytes) -> object:
    if not body:
        raise Refusal("MalformedHttpRequestException", "Request body is empty.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal("MalformedHttpRequestException", "Request body is not JSON.") from None


def _dump(answer: object) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
