"""EventConnection: the machine that both sides of a connection run, without any I/O.

::

    text ──▶ receive_text() ──▶ frames, decoded and checked     the caller decides, then
    now  ──▶ tick()                                             send() / refuse() / close()
                         texts_to_send() ──▶ the caller writes them, in order
                         deadline        ──▶ the caller sleeps until then, and calls tick()

After every call collect :meth:`EventConnection.texts_to_send`, and look at
:attr:`EventConnection.state`: once it is ``closed``, write what is left and close the socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from event_protocol import states
from event_protocol.codec import UNSUPPORTED, decode, encode
from event_protocol.errors import LocalProtocolError, RemoteProtocolError
from event_protocol.frames import (
    BroadcastError,
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Frame,
    KeepAlive,
    OperationError,
    Publish,
    PublishError,
    PublishSuccess,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    Unsubscribe,
    UnsubscribeError,
    UnsubscribeSuccess,
    WireError,
)
from event_protocol.limits import DEFAULT_LIMITS, Limits
from event_protocol.operations import Publications, Subscription, Subscriptions, Violation
from event_protocol.states import (
    ConnectionEvent,
    ConnectionState,
    PublicationEvent,
    Side,
    SubscriptionEvent,
)

__all__ = ["CloseReason", "EventConnection", "Side", "Subscription", "refusal"]


class CloseReason(StrEnum):
    """Why a connection is closed. AWS closes with code 1000 whatever the reason was."""

    CLOSED_HERE = "closed here"  # close() was called
    REFUSED = "refused"  # a connection_error was sent or received
    LIFE_OVER = "life over"  # a server's connection reached its greatest age
    PEER_SILENT = "peer silent"  # a client heard nothing for the timeout of the ack


class EventConnection:
    """One connection, from the successful upgrade to its end.

    Args:
        side: who we are.
        limits: what a server allows and how often it says ``ka``; a client checks its own frames
            against the same counts.
        now: monotonic seconds.

    Attributes:
        state: see :class:`~event_protocol.states.ConnectionState`.
        close_reason: why it is closed; None while it is open.
    """

    def __init__(self, side: Side, *, limits: Limits = DEFAULT_LIMITS, now: float) -> None:
        self.side = side
        self.limits = limits
        self.state = ConnectionState.NEW
        self.close_reason: CloseReason | None = None
        self._now = now
        self._ends = now + limits.connection_life
        self._heard = now
        self._silence = limits.connection_timeout  # a client learns it from the ack
        self._next_keep_alive = now
        self._subscriptions = Subscriptions(limits)
        self._publications = Publications(limits)
        self._outbox: list[str] = []

    def __repr__(self) -> str:
        held = ", ".join(f"{each.id} {each.state}" for each in self._subscriptions.values())
        return f"<{self.side} {self.state} [{held}] {len(self._publications)} publishing>"

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        """The subscriptions by id, a live view; once closed, as they were at the end."""
        return self._subscriptions

    @property
    def publishes_in_flight(self) -> int:
        """How many publishes wait for their answer."""
        return len(self._publications)

    @property
    def deadline(self) -> float | None:
        """The monotonic second at which :meth:`tick` wants to be called next.

        A server's next ``ka`` or the end of the connection's life. For a client, once it has the
        ack, the end of its patience: any text from the peer counts as a sign of life, as in AWS's
        Android library. SST counts only ``connection_ack`` and ``ka``; Amplify counts ``data`` too.
        Before the ack no keep-alive comes, so a client has no deadline: the wait for the ack is the
        caller's own budget. None when closed.
        """
        if self.state is ConnectionState.CLOSED:
            return None
        if self.side is Side.CLIENT:
            return self._heard + self._silence if self.state is ConnectionState.READY else None
        if self.state is ConnectionState.READY:
            return min(self._next_keep_alive, self._ends)
        return self._ends

    def receive_text(self, text: str, *, now: float) -> list[Frame]:
        """Takes one text from the peer; the frames the caller must act on, none or one.

        A server must answer every operation it is handed. After the end of the connection
        everything is ignored, for the peer may not know of it yet.

        Raises:
            RemoteProtocolError: the text breaks the protocol. Nothing was changed and the
                connection stays usable; a server answers with :meth:`refuse`. Its ``error_type`` is
                ``DuplicatedOperationError`` for a subscribe whose id is in use,
                ``UnknownOperationError`` for an unsubscribe whose id is not,
                ``MaxSubscriptionsReachedError``, ``InvalidInputError`` (too many events),
                ``LimitExceededError``, ``UnsupportedOperation`` or ``BadRequestException``.
        """
        if self.state is ConnectionState.CLOSED:
            return []
        self._now = self._heard = now  # whatever it says, the peer is there
        return self.receive_frame(decode(text), now=now)

    def receive_frame(self, frame: Frame, *, now: float) -> list[Frame]:
        """The same for a caller that decodes by other means than ``codec.py``.

        Raises:
            RemoteProtocolError: as :meth:`receive_text`.
        """
        if self.state is ConnectionState.CLOSED:
            return []
        self._now = self._heard = now
        try:
            self._apply(frame, sender=self.side.peer)
        except Violation as violation:
            raise RemoteProtocolError(
                str(violation),
                error_type=violation.error_type,
                frame_id=getattr(frame, "id", None),
                frame_type=frame.TYPE,
            ) from None
        return [frame]

    def send(self, frame: Frame) -> None:
        """Queues a frame. A server's first ack brings the first ``ka`` with it (see ``Limits``).

        Raises:
            LocalProtocolError: the frame is illegal now; nothing was queued or changed.
        """
        was_ready = self.state is ConnectionState.READY
        try:
            self._apply(frame, sender=self.side)
        except Violation as violation:
            raise LocalProtocolError(str(violation)) from None
        self._outbox.append(encode(frame))
        if type(frame) is ConnectionAck and not was_ready:
            self._start_keep_alive()

    def refuse(self, error: RemoteProtocolError) -> None:
        """Queues the answer to a text that broke the protocol.

        It moves no state, as the text moved none: a live subscription survives the refusal of a
        second one with its id.

        Raises:
            LocalProtocolError: this is the client's side, or the connection is closed.
        """
        if self.side is Side.CLIENT:
            raise LocalProtocolError("a client does not answer what breaks the protocol")
        if self.state is ConnectionState.CLOSED:
            raise LocalProtocolError("the connection is closed")
        self._outbox.append(encode(refusal(error)))

    def prove_live(self, subscription_id: str) -> None:
        """Notes that events reach a subscription: they are delivered now, or a probe came back.

        Receiving or sending ``data`` notes it too; a server whose hot path writes ``data`` past
        this object must say it here.

        Raises:
            LocalProtocolError: there is no acknowledged subscription with this id.
        """
        try:
            self._subscriptions.move(subscription_id, SubscriptionEvent.PROVED_LIVE)
        except Violation as violation:
            raise LocalProtocolError(str(violation)) from None

    def texts_to_send(self) -> list[str]:
        """The texts that were queued since the last call, in order; they are forgotten here."""
        texts, self._outbox = self._outbox, []
        return texts

    def tick(self, *, now: float) -> None:
        """Does what is due: a server's ``ka``, the end of its life, the end of a client's patience.

        May be called too early or too late; after a long pause one ``ka`` is queued, not many.
        """
        self._now = now
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if self.side is Side.CLIENT:
            self._close(CloseReason.PEER_SILENT)
        elif now >= self._ends:
            self._close(CloseReason.LIFE_OVER)
        else:
            self.send(KeepAlive())
            self._schedule_keep_alive()

    def close(self) -> None:
        """Ends the connection from this side, or notes that the socket has ended. Idempotent."""
        if self.state is not ConnectionState.CLOSED:
            self._close(CloseReason.CLOSED_HERE)

    def _close(self, reason: CloseReason) -> None:
        self.state = self._next_connection_state(ConnectionEvent.CLOSE)
        self.close_reason = reason

    def _start_keep_alive(self) -> None:
        self._schedule_keep_alive()
        if self.limits.keep_alive_after_ack:
            self.send(KeepAlive())

    def _schedule_keep_alive(self) -> None:
        """The rhythm is kept although ticks come late, unless one was missed altogether."""
        interval = self.limits.keep_alive
        due = self._next_keep_alive + interval
        self._next_keep_alive = due if due > self._now else self._now + interval

    def _apply(self, frame: Frame, *, sender: Side) -> None:
        """Checks the frame and moves the states; on a violation moves nothing."""
        kind = type(frame)
        event, senders, apply = _RULES[kind]
        if sender not in senders:
            raise Violation(UNSUPPORTED, error_type="UnsupportedOperation")
        if event is ConnectionEvent.KEEP_ALIVE and sender is Side.CLIENT:
            event = ConnectionEvent.CLIENT_KEEP_ALIVE
        state = self._next_connection_state(event)
        apply(self, frame)
        self.state = state

    def _next_connection_state(self, event: ConnectionEvent) -> ConnectionState:
        state = states.CONNECTION.get((self.state, event))
        if state is None:
            raise Violation(f"{event} is not legal while the connection is {self.state}")
        return state

    def _apply_nothing(self, _: Frame) -> None:
        """The connection's own state is all that changes."""

    def _apply_ack(self, frame: ConnectionAck) -> None:
        self._silence = frame.connection_timeout
        if self.state is not ConnectionState.READY:
            self._next_keep_alive = self._now

    def _apply_refused(self, _: ConnectionRefused) -> None:
        self.close_reason = CloseReason.REFUSED

    def _apply_subscribe(self, frame: Subscribe) -> None:
        self._subscriptions.begin(frame)

    def _apply_unsubscribe(self, frame: Unsubscribe) -> None:
        self._subscriptions.withdraw(frame.id)

    def _apply_to_subscription(
        self,
        frame: SubscribeSuccess
        | SubscribeError
        | UnsubscribeSuccess
        | UnsubscribeError
        | Data
        | BroadcastError,
    ) -> None:
        self._subscriptions.move(frame.id, SubscriptionEvent(frame.TYPE))

    def _apply_publish(self, frame: Publish) -> None:
        self._publications.begin(frame)

    def _apply_to_publication(self, frame: PublishSuccess | PublishError) -> None:
        self._publications.answer(frame.id, PublicationEvent(frame.TYPE))

    def _apply_error(self, frame: OperationError) -> None:
        """An error fails what waits for an answer under its id; otherwise it is only a notice."""
        if frame.id is None:
            return
        if frame.id in self._publications:
            self._publications.answer(frame.id, PublicationEvent.ERROR)
        else:
            self._subscriptions.move(frame.id, SubscriptionEvent.ERROR)


def refusal(error: RemoteProtocolError) -> Frame:
    """The frame with which a server answers a violation: the typed one if the id is known.

    It carries exactly one error: a Rust client requires that of ``publish_error``.
    """
    errors = (WireError(error.error_type, str(error) or None),)
    build = _REFUSALS.get(error.frame_type or "")
    if build is None or error.frame_id is None:
        return OperationError(errors, error.frame_id)
    return build(error.frame_id, errors)


_REFUSALS: Mapping[str, Callable[[str, tuple[WireError, ...]], Frame]] = {
    Subscribe.TYPE: SubscribeError,
    Unsubscribe.TYPE: UnsubscribeError,
    Publish.TYPE: PublishError,
}

_CLIENT = frozenset({Side.CLIENT})
_SERVER = frozenset({Side.SERVER})

_Rule = tuple[ConnectionEvent, frozenset[Side], Callable[[EventConnection, Any], None]]

_RULES: Mapping[type, _Rule] = {
    ConnectionInit: (ConnectionEvent.INIT, _CLIENT, EventConnection._apply_nothing),
    ConnectionAck: (ConnectionEvent.ACK, _SERVER, EventConnection._apply_ack),
    KeepAlive: (ConnectionEvent.KEEP_ALIVE, _CLIENT | _SERVER, EventConnection._apply_nothing),
    Subscribe: (ConnectionEvent.OPERATION, _CLIENT, EventConnection._apply_subscribe),
    Unsubscribe: (ConnectionEvent.OPERATION, _CLIENT, EventConnection._apply_unsubscribe),
    Publish: (ConnectionEvent.OPERATION, _CLIENT, EventConnection._apply_publish),
    SubscribeSuccess: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_subscription),
    SubscribeError: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_subscription),
    UnsubscribeSuccess: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_subscription),
    UnsubscribeError: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_subscription),
    Data: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_subscription),
    BroadcastError: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_subscription),
    PublishSuccess: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_publication),
    PublishError: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_to_publication),
    OperationError: (ConnectionEvent.ANSWER, _SERVER, EventConnection._apply_error),
    ConnectionRefused: (ConnectionEvent.REFUSE, _SERVER, EventConnection._apply_refused),
}
"""Of each frame: what it is to the connection, who may send it, and what else it moves."""
