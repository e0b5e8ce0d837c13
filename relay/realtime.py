"""The realtime door: one WebSocket, its operations in the order they come, its subscriptions.

::

    text frame ─ publish, as nearly always ──> Connection._take_at_once    nothing is decoded
             └── anything else, or odd ──────> event_protocol.codec ──> one method per frame

``connection_init`` is optional: some clients subscribe straight away and never wait for an ack
(AWS's create-wscat-clone tutorial, aws-appsync-events-swift). Outbound text goes through the hub.

A subscription may be made to come late (``subscription_lag``): it is acknowledged at once, and what
is published before it delivers never reaches it, as was seen with AWS (anomalyco/sst#6575).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from aiohttp import web

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
from relay.auth.base import AccessDenied, Operation
from relay.clock import Timer
from relay.errors import Refusal
from relay.front import Visit
from relay.link import Link, Shared
from relay.namespaces import Api, Subscription
from relay.publishing import (
    accept_events,
    encode_outcome,
    explain,
    find_target,
    parse_pattern,
)
from relay.usher import Upgrade


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
    """Answers upgrades to Events."""

    shared: Shared

    async def __call__(
        self, request: web.BaseRequest, *, api: Api, visit: Visit
    ) -> web.StreamResponse:
        """Answers an upgrade and stays until the connection is over."""
        return await self.connect(request, api=api, visit=visit).serve()

    def connect(self, request: web.BaseRequest | Upgrade, *, api: Api, visit: Visit) -> Connection:
        """A connection that is not open yet.

        Raises:
            HTTPBadRequest: the request is no upgrade.
            ConnectionResetError: the client is gone.
        """
        return Connection(request, visit, api=api, shared=self.shared)


class Connection(Link):
    """One WebSocket that speaks Events.

    Attributes:
        subscriptions: its own, by id, those that do not deliver yet included.
    """

    __slots__ = ("_late", "subscriptions")

    protocol = SUBPROTOCOL
    keep_alive_frame = encode(KeepAlive()).encode()

    def __init__(
        self, request: web.BaseRequest | Upgrade, visit: Visit, *, api: Api, shared: Shared
    ) -> None:
        super().__init__(request, visit, api=api, shared=shared)
        self.subscriptions: dict[str, Subscription] = {}
        self._late: dict[Subscription, Timer] = {}

    def describe_subscriptions(self) -> list[dict[str, str]]:
        """What it listens to, for the operator: ``id`` and ``channel`` of each."""
        return [{"id": one.id, "channel": one.pattern.path} for one in self.subscriptions.values()]

    # Connecting.

    async def _connect(self, offered: Sequence[str]) -> None:
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

    def _encode_refusal(self, error_type: str, message: str | None, code: int) -> bytes:
        return encode(ConnectionRefused((WireError(error_type, message, code),))).encode()

    def _encode_not_text(self) -> bytes:
        return encode(_operation_error("BadRequestException", "Frames must be text.")).encode()

    # Receiving.

    def _take_at_once(self, text: str) -> bool:
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

    async def _take(self, text: str) -> None:
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
        tails, tails_size, too_large = accept_events(events, limits)
        successful, failed = encode_outcome(count, too_large, shared.new_identifier)
        shared.hub.send(
            self.outlet,
            f'{{"id":"{frame_id}","type":"publish_success",'
            f'"successful":{successful},"failed":{failed}}}'.encode(),
        )
        route = self.api.channels.route(path)
        if route.count and tails:
            shared.hub.publish(route, tails, size=tails_size)
        self.visit.received += len(tails)

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
        self.subscriptions[frame.id] = subscription
        if (lag := self._shared.subscription_lag) > 0:
            clock = self._shared.clock
            come = partial(self._come_late, subscription, lag)
            self._late[subscription] = clock.call_at(clock.now() + lag, come)
        else:
            self._go_live(subscription)
        self._send(SubscribeSuccess(frame.id))

    def _go_live(self, subscription: Subscription) -> None:
        self._shared.hub.flush()
        self.api.channels.add(subscription)

    def _come_late(self, subscription: Subscription, lag: float) -> None:
        del self._late[subscription]
        self._go_live(subscription)
        self._shared.journal.record(
            "relay.subscription.live",
            connection=self.visit.connection,
            channel=subscription.pattern.path,
            seconds=lag,
        )

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
        self._forget(subscription)
        self._send(UnsubscribeSuccess(frame.id))

    def _forget(self, subscription: Subscription) -> None:
        if (timer := self._late.pop(subscription, None)) is not None:
            timer.cancel()
        else:
            self.api.channels.remove(subscription)

    # Sending and ending.

    def _send(self, frame: Frame) -> None:
        self._shared.hub.send(self.outlet, encode(frame).encode())

    def _unsubscribe_all(self) -> None:
        for subscription in self.subscriptions.values():
            self._forget(subscription)
        self.subscriptions.clear()


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
