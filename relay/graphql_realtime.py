"""GraphQL subscriptions on a WebSocket (AWS AppSync developer guide, real-time-websocket-client).

Credentials of the upgrade come in the query string (``?header=…``, which Python's gql sends), as a
``header-`` subprotocol, or as ordinary HTTP headers. Unlike in Events, nothing is done for a client
before its ``connection_init`` was acknowledged.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from event_protocol.handshake import TOKEN_PREFIX, read_offer
from relay.auth.base import AccessDenied, GraphqlQuestion, Operation
from relay.errors import Refusal
from relay.front import Visit
from relay.graphql_codec import (
    KEEP_ALIVE,
    SUBPROTOCOL,
    ConnectionInit,
    FrameIllegal,
    KeepAlive,
    Start,
    Stop,
    decode,
    encode_ack,
    encode_complete,
    encode_error,
    encode_refusal,
    encode_start_ack,
)
from relay.graphql_table import Listener, ListenerTable
from relay.link import Link, Shared
from relay.namespaces import Api

if TYPE_CHECKING:
    from relay.graphql_schema import Selection

CONNECT_PATH = "/graphql/connect"  # what the signature of an upgrade covers
# What a Lambda authorizer is told about an upgrade, as functions that allow for it compare it.
CONNECT_QUESTION = GraphqlQuestion(operation_name="Deepdish:Connect")
OPERATION_PATH = "/graphql"  # and that of everything else


async def load_schema() -> None:
    """Imports graphql-core, in a thread since it takes its time; afterwards it is there."""
    await asyncio.to_thread(importlib.import_module, "relay.graphql_schema")


class GraphqlConnection(Link):
    """One WebSocket that speaks GraphQL.

    Attributes:
        listeners: its subscriptions, by id.
    """

    __slots__ = ("_is_ready", "_raw_query", "_table", "listeners")

    protocol = SUBPROTOCOL
    keep_alive_frame = KEEP_ALIVE.encode()

    def __init__(
        self,
        request: web.BaseRequest,
        visit: Visit,
        *,
        api: Api,
        shared: Shared,
        table: ListenerTable,
    ) -> None:
        super().__init__(request, visit, api=api, shared=shared)
        self._raw_query = request.raw_path.partition("?")[2]
        self._table = table
        self._is_ready = False
        self.listeners: dict[str, Listener] = {}

    def describe_subscriptions(self) -> list[dict[str, str]]:
        """What it listens to, for the operator: ``id`` and ``channel`` of each."""
        return [
            {"id": one.id, "channel": f"graphql:{one.selection.name}"}
            for one in self.listeners.values()
        ]

    # Connecting.

    async def _connect(self, offered: Sequence[str]) -> None:
        names = [name.strip() for value in offered for name in value.split(",")]
        if SUBPROTOCOL not in names:
            raise AccessDenied(
                "SubProtocolNotSupportedError",
                error_type="SubProtocolNotSupportedError",
                error_code=400,
            )
        token = token_in_query(self._raw_query)
        presented = read_offer(offered if token is None else [token]).authorization
        request = self._access_request(
            Operation.CONNECT,
            self._headers if presented is None else presented,
            path=CONNECT_PATH,
            graphql=CONNECT_QUESTION,
        )
        await self.api.access.decide(request, self.api.modes.connect)

    def _encode_refusal(self, error_type: str, message: str | None, code: int) -> bytes:
        return encode_refusal(error_type, message, code).encode()

    def _encode_not_text(self) -> bytes:
        return encode_error(None, "BadRequestException", "Frames must be text.").encode()

    # Receiving.

    async def _take(self, text: str) -> None:
        try:
            frame = decode(text)
        except FrameIllegal as error:
            self._send(encode_error(error.frame_id, error.error_type, str(error)))
            return
        match frame:
            case ConnectionInit():
                self._acknowledge()
            case KeepAlive():
                pass
            case Start() if self._is_ready:
                await self._start(frame)
            case Stop() if self._is_ready:
                self._stop(frame)

    def _acknowledge(self) -> None:
        shared = self._shared
        self._is_ready = True
        self._send(encode_ack(shared.limits.connection_timeout))
        if shared.wheel.acknowledge(self) and shared.limits.keep_alive_after_ack:
            self.keep_alive()

    async def _start(self, frame: Start) -> None:
        try:
            selection = await self._admit(frame)
        except (Refusal, AccessDenied) as refused:
            self._send(encode_error(frame.id, refused.error_type, refused.message))
            return
        if self._is_over:
            return
        listener = Listener(frame.id, selection, outlet=self.outlet)
        self._shared.hub.flush()
        self._table.add(listener)
        self.listeners[frame.id] = listener
        self._send(encode_start_ack(frame.id))

    async def _admit(self, frame: Start) -> Selection:
        request = self._access_request(
            Operation.SUBSCRIBE,
            frame.authorization,
            body=frame.data.encode("utf-8", "surrogatepass"),
            path=OPERATION_PATH,
            graphql=read_question(_parse(frame.data)),
        )
        identity = await self.api.access.decide(request, self.api.modes.subscribe)
        if frame.id in self.listeners:
            raise Refusal("DuplicatedOperationError", f"Duplicated operation id {frame.id}")
        limit = self._shared.limits.subscriptions_per_connection
        if len(self.listeners) >= limit:
            message = f"A connection can have at most {limit} subscriptions."
            raise Refusal("MaxSubscriptionsReachedError", message)
        await load_schema()
        return read_subscription(frame.data, denied=identity.denied_fields)

    def _stop(self, frame: Stop) -> None:
        listener = self.listeners.pop(frame.id, None)
        if listener is not None:
            self._shared.hub.flush()
            self._table.remove(listener)
        self._send(encode_complete(frame.id))

    # Sending and ending.

    def _send(self, text: str) -> None:
        self._shared.hub.send(self.outlet, text.encode())

    def _unsubscribe_all(self) -> None:
        for listener in self.listeners.values():
            self._table.remove(listener)
        self.listeners.clear()


def read_question(document: object) -> GraphqlQuestion:
    """What a request asks, whether it can be carried out or not."""
    if not isinstance(document, Mapping):
        return GraphqlQuestion()
    query, name = document.get("query"), document.get("operationName")
    variables = document.get("variables")
    return GraphqlQuestion(
        query if isinstance(query, str) else "",
        name if isinstance(name, str) else None,
        variables if isinstance(variables, Mapping) else {},
    )


def token_in_query(raw_query: str) -> str | None:
    """The credentials of ``?header=…`` as a ``header-`` subprotocol would have them.

    gql puts standard base64 there without percent-encoding it, so a plus may have become a space.
    """
    for part in raw_query.split("&"):
        name, _, value = part.partition("=")
        if name == "header":
            return TOKEN_PREFIX + unquote(value, errors="replace").replace(" ", "+")
    return None


def read_subscription(data: str, *, denied: frozenset[str] = frozenset()) -> Selection:
    """What the request of a ``start`` asks for.

    Args:
        data: the request as JSON text.
        denied: fields, ``Type.field``, that the subscriber must not get.

    Raises:
        Refusal: it is not JSON, cannot be parsed, is no valid subscription, or wants what is
            denied.
    """
    from relay.graphql_schema import FieldDenied, RequestIllegal, read_request, subscribe

    try:
        request = read_request(json.loads(data))
        if request.kind in ("query", "mutation"):
            message = f"A {request.kind} is not supported through the realtime channel."
            raise Refusal("UnsupportedOperation", message)
        return subscribe(request, denied=denied)
    except (ValueError, RecursionError):
        raise Refusal("BadRequestException", "The data of a start is not JSON.") from None
    except FieldDenied as error:
        raise Refusal("UnauthorizedException", error.message) from None
    except RequestIllegal as error:
        raise Refusal("BadRequestException", str(error)) from None


def _parse(data: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
