"""The states of a connection, of a subscription and of a publication, as tables.

Everything about states is here, and nothing here knows which side we play: both sides walk the same
tables, so the same check judges what we send and what we receive. A pair that is missing from a
table is a violation. The documentation draws its diagrams from these tables.

Three facts shape them. ``connection_init`` is optional: AWS's own tutorial client and its Swift
library subscribe right after the upgrade, so operations are legal in every open state. No ``data``
may come before the ``subscribe_success`` of its id: SST takes the first frame of an id for the
success and loses it. And a subscription that was acknowledged is not yet *live*: AWS's Android
tests wait up to two seconds for it (for the rest: AWS AppSync Events developer guide,
event-api-websocket-protocol).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar


class Side(StrEnum):
    """Who we are on a connection."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def peer(self) -> Side:
        """The other side."""
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class ConnectionState(StrEnum):
    """Where a connection is, from the successful upgrade to its end."""

    NEW = "new"
    STARTING = "starting"  # init sent, not yet acknowledged
    READY = "ready"  # acknowledged; only now keep-alives come
    CLOSED = "closed"


class ConnectionEvent(StrEnum):
    """What happens to a connection: a frame of some sort, or its end."""

    INIT = "connection_init"
    ACK = "connection_ack"
    KEEP_ALIVE = "ka"
    CLIENT_KEEP_ALIVE = "ka from a client"  # one Go client does this; nobody answers
    OPERATION = "subscribe, unsubscribe, publish"
    ANSWER = "an answer, data, an error"
    REFUSE = "connection_error"
    CLOSE = "close"


class SubscriptionState(StrEnum):
    """Where a subscription is. ``UNUSED`` is the id without a subscription, before and after."""

    UNUSED = "unused"
    REQUESTED = "requested"
    WITHDRAWN = "withdrawn"  # unsubscribed before the subscribe was answered
    ACKED = "acked"  # answered, but events may still pass it by
    LIVE = "live"  # events are known to arrive
    ENDING = "ending"  # unsubscribed, not yet answered; events may still arrive


class SubscriptionEvent(StrEnum):
    """What happens to a subscription: a frame with its id, or the proof that it is live."""

    SUBSCRIBE = "subscribe"
    SUBSCRIBE_SUCCESS = "subscribe_success"
    SUBSCRIBE_ERROR = "subscribe_error"
    PROVED_LIVE = "proved live"
    DATA = "data"
    BROADCAST_ERROR = "broadcast_error"
    UNSUBSCRIBE = "unsubscribe"
    UNSUBSCRIBE_SUCCESS = "unsubscribe_success"
    UNSUBSCRIBE_ERROR = "unsubscribe_error"
    ERROR = "error"


class PublicationState(StrEnum):
    """Where a publication is. ``UNUSED`` is the id before the publish."""

    UNUSED = "unused"
    REQUESTED = "requested"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class PublicationEvent(StrEnum):
    """What happens to a publication."""

    PUBLISH = "publish"
    PUBLISH_SUCCESS = "publish_success"
    PUBLISH_ERROR = "publish_error"
    ERROR = "error"


S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)

_C, _CE = ConnectionState, ConnectionEvent
_S, _SE = SubscriptionState, SubscriptionEvent
_P, _PE = PublicationState, PublicationEvent

CONNECTION: Mapping[tuple[ConnectionState, ConnectionEvent], ConnectionState] = MappingProxyType(
    {
        (_C.NEW, _CE.INIT): _C.STARTING,
        (_C.NEW, _CE.CLIENT_KEEP_ALIVE): _C.NEW,
        (_C.NEW, _CE.OPERATION): _C.NEW,
        (_C.NEW, _CE.ANSWER): _C.NEW,
        (_C.NEW, _CE.REFUSE): _C.CLOSED,
        (_C.NEW, _CE.CLOSE): _C.CLOSED,
        (_C.STARTING, _CE.INIT): _C.STARTING,
        (_C.STARTING, _CE.ACK): _C.READY,
        (_C.STARTING, _CE.CLIENT_KEEP_ALIVE): _C.STARTING,
        (_C.STARTING, _CE.OPERATION): _C.STARTING,
        (_C.STARTING, _CE.ANSWER): _C.STARTING,
        (_C.STARTING, _CE.REFUSE): _C.CLOSED,
        (_C.STARTING, _CE.CLOSE): _C.CLOSED,
        (_C.READY, _CE.INIT): _C.READY,  # a repeated init is answered with another ack
        (_C.READY, _CE.ACK): _C.READY,
        (_C.READY, _CE.KEEP_ALIVE): _C.READY,
        (_C.READY, _CE.CLIENT_KEEP_ALIVE): _C.READY,
        (_C.READY, _CE.OPERATION): _C.READY,
        (_C.READY, _CE.ANSWER): _C.READY,
        (_C.READY, _CE.REFUSE): _C.CLOSED,
        (_C.READY, _CE.CLOSE): _C.CLOSED,
    }
)
"""A connection. Nothing leaves ``closed``."""

SUBSCRIPTION: Mapping[tuple[SubscriptionState, SubscriptionEvent], SubscriptionState] = (
    MappingProxyType(
        {
            (_S.UNUSED, _SE.SUBSCRIBE): _S.REQUESTED,
            (_S.UNUSED, _SE.UNSUBSCRIBE_ERROR): _S.UNUSED,  # there was nothing to end
            (_S.UNUSED, _SE.ERROR): _S.UNUSED,
            (_S.REQUESTED, _SE.SUBSCRIBE_SUCCESS): _S.ACKED,
            (_S.REQUESTED, _SE.SUBSCRIBE_ERROR): _S.UNUSED,
            (_S.REQUESTED, _SE.ERROR): _S.UNUSED,
            (_S.REQUESTED, _SE.UNSUBSCRIBE): _S.WITHDRAWN,
            (_S.WITHDRAWN, _SE.SUBSCRIBE_SUCCESS): _S.ENDING,
            (_S.WITHDRAWN, _SE.SUBSCRIBE_ERROR): _S.WITHDRAWN,
            (_S.WITHDRAWN, _SE.ERROR): _S.WITHDRAWN,
            (_S.WITHDRAWN, _SE.UNSUBSCRIBE_SUCCESS): _S.UNUSED,
            (_S.WITHDRAWN, _SE.UNSUBSCRIBE_ERROR): _S.UNUSED,
            (_S.ACKED, _SE.PROVED_LIVE): _S.LIVE,
            (_S.ACKED, _SE.DATA): _S.LIVE,  # an event is the best proof
            (_S.ACKED, _SE.BROADCAST_ERROR): _S.ACKED,
            (_S.ACKED, _SE.SUBSCRIBE_ERROR): _S.ACKED,  # a second subscribe with its id was refused
            (_S.ACKED, _SE.ERROR): _S.ACKED,
            (_S.ACKED, _SE.UNSUBSCRIBE): _S.ENDING,
            (_S.LIVE, _SE.PROVED_LIVE): _S.LIVE,
            (_S.LIVE, _SE.DATA): _S.LIVE,
            (_S.LIVE, _SE.BROADCAST_ERROR): _S.LIVE,
            (_S.LIVE, _SE.SUBSCRIBE_ERROR): _S.LIVE,
            (_S.LIVE, _SE.ERROR): _S.LIVE,
            (_S.LIVE, _SE.UNSUBSCRIBE): _S.ENDING,
            (_S.ENDING, _SE.DATA): _S.ENDING,
            (_S.ENDING, _SE.BROADCAST_ERROR): _S.ENDING,
            (_S.ENDING, _SE.SUBSCRIBE_ERROR): _S.ENDING,
            (_S.ENDING, _SE.ERROR): _S.ENDING,
            (_S.ENDING, _SE.UNSUBSCRIBE_SUCCESS): _S.UNUSED,
            (_S.ENDING, _SE.UNSUBSCRIBE_ERROR): _S.UNUSED,
        }
    )
)
"""A subscription. From ``unused`` its id may be used again."""

PUBLICATION: Mapping[tuple[PublicationState, PublicationEvent], PublicationState] = (
    MappingProxyType(
        {
            (_P.UNUSED, _PE.PUBLISH): _P.REQUESTED,
            (_P.REQUESTED, _PE.PUBLISH_SUCCESS): _P.ACCEPTED,
            (_P.REQUESTED, _PE.PUBLISH_ERROR): _P.REJECTED,
            (_P.REQUESTED, _PE.ERROR): _P.REJECTED,
        }
    )
)
"""A publication. A publisher may use one id again while the first still waits: each is answered."""


def render_diagram(table: Mapping[tuple[S, E], S]) -> str:
    """The table as the text of a Mermaid state diagram; its first row begins at the start.

    Events that lead from one state to the same other one share an arrow.
    """
    arrows: dict[tuple[S, S], list[str]] = {}
    for (source, event), target in table.items():
        arrows.setdefault((source, target), []).append(event.value)
    start = next(iter(table))[0]
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {a} --> {b}: {' / '.join(events)}" for (a, b), events in arrows.items()]
    return "\n".join(lines) + "\n"
