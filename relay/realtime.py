"""The realtime door: one WebSocket, its operations in the order they come, its subscriptions.

::

    101 ─ connect allowed? ─ no ──> connection_error, a short delay, close 1000
             │ yes
             v
    text frame ─ publish, as nearly always ──> Connection._publish_at_once    nothing is decoded
             └── anything else, or odd ──────> event_protocol.codec ──> one method per frame

``connection_init`` is optional: some clients subscribe straight away and never wait for an ack
(AWS's create-wscat-clone tutorial, aws-appsync-events-swift). Outbound text goes through the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from event_protocol.channels import ChannelPattern
from event_protocol.codec import UNSUPPORTED, decode, encode
from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import (
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Frame,
    KeepAlive,
    OperationError,
    Publish,
    PublishError,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    Unsubscribe,
    UnsubscribeError,
    UnsubscribeSuccess,
    WireError,
    is_id,
)
from event_protocol.handshake import SUBPROTOCOL, read_offer
from event_protocol.limits import Limits
from relay.auth.base import AccessDenied, AccessRequest, Operation
from relay.clock import Clock
from relay.config import Budgets
from relay.errors import Refusal
from relay.front import Front, Visit
from relay.hub import Hub, Outlet
from relay.journal import Journal
from relay.keepalive import KeepAliveWheel
from relay.namespaces import Api, Subscription
from relay.publishing import (
    NewIdentifier,
    accept_events,
    encode_outcome,
    explain,
    find_target,
    parse_pattern,
)

_KEEP_ALIVE = encode(KeepAlive()).encode()
_PROTOCOL_HEADER = "Sec-WebSocket-Protocol"
_DATA = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})


class _Inbound(msgspec.Struct, gc=False):
    """A client's frame as far as publishing needs it; texts stay as they were sent."""

    type: str = ""
    id: str = ""
    channel: str = ""
    events: list[msgspec.Raw] = []
    authorization: msgspec.Raw = msgspec.Raw()


_read_frame = msgspec.json.Decoder(_Inbound).decode


@dataclass(frozen=True, slots=True, eq=False)
class Realtime:
    """What all WebSockets of a relay share.

    Attributes:
        start: runs something beside the connections, until it ends or the relay does.
        connections: those that are open.
    """

    hub: Hub
    clock: Clock
    wheel: KeepAliveWheel
    journal: Journal
    front: Front
    limits: Limits
    budgets: Budgets
    new_identifier: NewIdentifier
    start: Callable[[Coroutine[Any, Any, None]], None]
    connections: dict[Connection, None]

    async def __call__(
        self, request: web.BaseRequest, *, api: Api, visit: Visit
    ) -> web.StreamResponse:
        """Answers an upgrade and stays until the connection is over."""
        return await Connection(request, visit, api=api, shared=self).serve(request)


class Connection:
    """One WebSocket that speaks Events.

    Attributes:
        api: which API it belongs to.
        visit: who it is.
        opened: monotonic seconds.
        outlet: its outbound half.
        subscriptions: its own, by id.
    """

    __slots__ = (
        "_code",
        "_headers",
        "_is_over",
        "_shared",
        "_socket",
        "_transport",
        "api",
        "opened",
        "outlet",
        "subscriptions",
        "visit",
    )

    def __init__(
        self, request: web.BaseRequest, visit: Visit, *, api: Api, shared: Realtime
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._shared = shared
        self._headers = request.headers
        self._code: int | None = None
        self._is_over = False
        self._transport = transport
        self._socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            autoclose=False,  # what is queued goes first
            compress=False,  # our frames go past the writer that would deflate them
            timeout=shared.budgets.close,
            max_msg_size=shared.limits.frame_bytes,
        )
        self.api = api
        self.visit = visit
        self.opened = visit.opened
        self.subscriptions: dict[str, Subscription] = {}
        self.outlet = Outlet(
            write=transport.write, unsent=transport.get_write_buffer_size, cut=self._cut
        )

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Upgrades, and stays until the connection is over."""
        offered = request.headers.getall(_PROTOCOL_HEADER, [])
        if len(offered) > 1:  # aiohttp reads only the first of several headers
            merged = request.headers.copy()
            merged[_PROTOCOL_HEADER] = ", ".join(offered)
            request = request.clone(headers=merged)
        await self._socket.prepare(request)
        shared = self._shared
        shared.front.open(self.visit, "realtime", api=self.api.config.api_id)
        shared.connections[self] = None
        shared.wheel.open(self)
        try:
            if await self._is_allowed(offered):
                await self._receive()
        finally:
            self._leave()
            shared.front.close(
                self.visit,
                code=self._code or self._socket.close_code or WSCloseCode.ABNORMAL_CLOSURE,
                delivered=self.outlet.delivered,
                lost=self.outlet.count_lost(),
            )
        return self._socket

    def keep_alive(self) -> None:
        """Sends ``ka``."""
        self._shared.hub.send(self.outlet, _KEEP_ALIVE)

    def expire(self) -> None:
        """Ends the connection because of its age: a normal close, as Android's authors observed."""
        self._shared.start(self.close(WSCloseCode.OK, reason="age"))

    async def close(self, code: int, *, reason: str) -> None:
        """Sends what is queued, then a close frame; waits for its answer within the budget."""
        self.visit.reason = reason
        self._code = code
        self._leave()
        await self._socket.close(code=code)

    def abort(self, reason: str) -> None:
        """Ends the TCP connection without a word."""
        self.visit.reason = reason
        self._code = WSCloseCode.ABNORMAL_CLOSURE
        self._leave()
        self._transport.abort()

    # Connecting.

    async def _is_allowed(self, offered: Sequence[str]) -> bool:
        try:
            offer = read_offer(offered)
            if not offer.wants_events:
                raise AccessDenied(
                    "SubProtocolNotSupportedError",
                    error_type="SubProtocolNotSupportedError",
                    error_code=400,
                )
            presented = self._headers if offer.authorization is None else offer.authorization
            request = self._access_request(Operation.CONNECT, presented)
            await self.api.access.decide(request, self.api.modes.connect)
        except AccessDenied as denied:
            await self._refuse(denied.error_type, denied.message, code=denied.error_code)
        except RemoteProtocolError as error:
            await self._refuse(error.error_type, explain(error), code=400)
        else:
            return True
        return False

    async def _refuse(self, error_type: str, message: str | None, *, code: int) -> None:
        """Says why, lets the client read it, and closes normally.

        An HTTP status instead would send Amplify into endless retry. So would a frame that comes
        with the 101: on the npm package ws, Amplify begins to listen some turns of its loop after
        the socket has opened (observed with aws-amplify 6.22), and Node's own WebSocket loses a
        frame that the close follows at once. So each step waits for the client to do its own.
        """
        shared = self._shared
        shared.journal.record(
            "relay.connection.denied",
            connection=self.visit.connection,
            peer=self.visit.peer,
            error_type=error_type,
            code=code,
        )
        await self._within(shared.budgets.refusal, self._hear(closing=False))
        self._send(ConnectionRefused((WireError(error_type, message, code),)))
        await self._within(shared.budgets.refusal, self._hear(closing=True))
        await self.close(WSCloseCode.OK, reason="denied")

    async def _hear(self, *, closing: bool) -> None:
        """Returns when the client says anything, or only when it closes; drops what it says."""
        while (await self._socket.receive()).type in _DATA and closing:
            pass

    async def _within(self, budget: float, hearing: Coroutine[Any, Any, None]) -> None:
        tasks = [
            asyncio.ensure_future(each) for each in (hearing, self._shared.clock.sleep(budget))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _access_request(
        self,
        operation: Operation,
        presented: Mapping[str, str],
        **more: Any,  # noqa: ANN401  the request's own attributes
    ) -> AccessRequest:
        config = self.api.config
        return AccessRequest(
            operation,
            {name.lower(): value for name, value in presented.items()},
            config.api_id,
            config.http_host,
            headers={name.lower(): value for name, value in self._headers.items()},
            source_ip=self.visit.peer,
            **more,
        )

    # Receiving.

    async def _receive(self) -> None:
        receive = self._socket.receive
        while True:
            message = await receive()
            if message.type is WSMsgType.TEXT:
                if not self._publish_at_once(message.data):
                    await self._handle(message.data)
            elif message.type is WSMsgType.BINARY:
                self._send(_operation_error("BadRequestException", "Frames must be text."))
            else:
                self._leave()
                await self._socket.close()
                return

    def _publish_at_once(self, text: str) -> bool:
        """Publishes if that is what the frame wants and nothing about it needs a second look."""
        try:
            frame = _read_frame(text)
        except (msgspec.MsgspecError, RecursionError):
            return False
        if frame.type != "publish" or not frame.events or not is_id(frame.id):
            return False
        path = self.api.recall(
            frame.channel, bytes(frame.authorization), wall=self._shared.clock.wall()
        )
        if path is None:
            return False
        try:
            self._broadcast(frame.id, path, frame.events, size=len(text))
        except Refusal as refusal:
            self._send(PublishError(frame.id, _errors(refusal)))
        return True

    async def _handle(self, text: str) -> None:
        try:
            frame = decode(text)
        except RemoteProtocolError as error:
            self._send(_answer_to(error))
            return
        match frame:
            case Publish():
                await self._publish(frame, text)
            case Subscribe():
                await self._subscribe(frame)
            case Unsubscribe():
                self._unsubscribe(frame)
            case ConnectionInit():
                self._acknowledge()
            case KeepAlive():
                pass
            case _:
                self._send(_operation_error("UnsupportedOperation", UNSUPPORTED))

    def _acknowledge(self) -> None:
        """Answers ``connection_init``, also a repeated one."""
        shared = self._shared
        self._send(ConnectionAck(shared.limits.connection_timeout))
        if shared.wheel.acknowledge(self) and shared.limits.keep_alive_after_ack:
            self.keep_alive()

    # Publishing.

    async def _publish(self, frame: Publish, text: str) -> None:
        try:
            channel, namespace = find_target(self.api, frame.channel)
            request = self._access_request(
                Operation.PUBLISH,
                frame.authorization,
                channel=channel.path,
                namespace=namespace.name,
                raw_channel=frame.channel,
                raw_events=frame.events,
            )
            access = self.api.access
            identity = await access.decide(request, namespace.publish_modes)
            self.api.remember(
                frame.channel,
                _presented(text),
                path=channel.path,
                until=access.holds_until(identity, request.credentials),
            )
            events = [msgspec.Raw(msgspec.json.encode(event)) for event in frame.events]
            self._broadcast(frame.id, channel.path, events, size=len(text))
        except (Refusal, AccessDenied) as refused:
            self._send(PublishError(frame.id, _errors(refused)))

    def _broadcast(
        self, frame_id: str, path: str, events: Sequence[msgspec.Raw], *, size: int
    ) -> None:
        shared = self._shared
        limits = shared.limits
        count = len(events)
        if count > limits.events_per_publish:  # observed with Android: another name than over HTTP
            message = f"input exceeded {limits.events_per_publish} event limit"
            raise Refusal("InvalidInputError", message)
        if size > limits.request_bytes:
            message = f"input exceeded {limits.request_bytes} byte limit"
            raise Refusal("InvalidInputError", message)
        accepted = accept_events(events, limits)
        successful, failed = encode_outcome(count, accepted.too_large, shared.new_identifier)
        shared.hub.send(
            self.outlet,
            f'{{"id":"{frame_id}","type":"publish_success",'
            f'"successful":{successful},"failed":{failed}}}'.encode(),
        )
        route = self.api.channels.route(path)
        if route.count and accepted.tails:
            shared.hub.publish(route, accepted.tails, size=accepted.size)
        self.visit.received += len(accepted.tails)

    # Subscribing.

    async def _subscribe(self, frame: Subscribe) -> None:
        try:
            pattern = await self._admit(frame)
        except (Refusal, AccessDenied) as refused:
            self._send(SubscribeError(frame.id, _errors(refused)))
            return
        if self._is_over:
            return
        subscription = Subscription(frame.id, pattern, outlet=self.outlet)
        self._shared.hub.flush()
        self.api.channels.add(subscription)
        self.subscriptions[frame.id] = subscription
        self._send(SubscribeSuccess(frame.id))

    async def _admit(self, frame: Subscribe) -> ChannelPattern:
        pattern = parse_pattern(frame.channel)
        namespace = self.api.namespace(pattern.namespace)
        if namespace is None:
            raise Refusal("UnauthorizedException")
        request = self._access_request(
            Operation.SUBSCRIBE,
            frame.authorization,
            channel=pattern.path,
            namespace=namespace.name,
            raw_channel=frame.channel,
        )
        await self.api.access.decide(request, namespace.subscribe_modes)
        if frame.id in self.subscriptions:
            raise Refusal("DuplicatedOperationError", f"Duplicated operation id {frame.id}")
        limit = self._shared.limits.subscriptions_per_connection
        if len(self.subscriptions) >= limit:
            message = f"A connection can have at most {limit} subscriptions."
            raise Refusal("MaxSubscriptionsReachedError", message)
        return pattern

    def _unsubscribe(self, frame: Unsubscribe) -> None:
        subscription = self.subscriptions.pop(frame.id, None)
        if subscription is None:
            error = WireError("UnknownOperationError", f"Unknown operation id {frame.id}")
            self._send(UnsubscribeError(frame.id, (error,)))
            return
        self._shared.hub.flush()
        self.api.channels.remove(subscription)
        self._send(UnsubscribeSuccess(frame.id))

    # Sending and ending.

    def _send(self, frame: Frame) -> None:
        self._shared.hub.send(self.outlet, encode(frame).encode())

    def _leave(self) -> None:
        """Takes part no more; harmless the second time."""
        if self._is_over:
            return
        self._is_over = True
        shared = self._shared
        shared.hub.flush()
        for subscription in self.subscriptions.values():
            self.api.channels.remove(subscription)
        self.subscriptions.clear()
        shared.wheel.close(self)
        del shared.connections[self]

    def _cut(self) -> None:
        self.abort("slow")


def _presented(text: str) -> bytes:
    """The bytes of a frame's authorization object, as they stand in it."""
    try:
        return bytes(_read_frame(text).authorization)
    except (msgspec.MsgspecError, RecursionError):
        return b""


def _errors(refused: Refusal | AccessDenied) -> tuple[WireError, ...]:
    """Exactly one: a Rust client takes no other number."""
    return (WireError(refused.error_type, refused.message),)


def _operation_error(error_type: str, message: str) -> OperationError:
    return OperationError((WireError(error_type, message),))


def _answer_to(error: RemoteProtocolError) -> Frame:
    """The most specific answer to an illegal frame, since Amplify waits for one without end."""
    errors = (WireError(error.error_type, explain(error)),)
    if error.frame_id is None:
        return OperationError(errors)
    match error.frame_type:
        case "publish":
            return PublishError(error.frame_id, errors)
        case "subscribe":
            return SubscribeError(error.frame_id, errors)
        case "unsubscribe":
            return UnsubscribeError(error.frame_id, errors)
        case _:
            return OperationError(errors, error.frame_id)
