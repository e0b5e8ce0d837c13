"""Sizes, counts and durations of the channel, each with its source.

Numbers that are part of the grammar (how long an id may be) are constants: changing them changes
the language. What a service allows is :class:`Limits`: a relay may be configured otherwise, and
tests shorten the durations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from event_protocol.errors import LocalProtocolError

ID_LENGTH = 128
"""Characters of an operation's id, from ``[A-Za-z0-9_+-]`` (AWS AppSync Events developer guide,
event-api-websocket-protocol)."""

SEGMENT_LENGTH = 50
"""Characters of one channel segment (same page, and AWS General Reference, AppSync quotas)."""

SEGMENTS_PER_CHANNEL = 5
"""Segments of a channel, the namespace included (same page)."""

CLOSE_DELAY = 0.02
"""Seconds between a ``connection_error`` and the close frame. Node 20's built-in WebSocket loses a
frame that is followed at once by the close; 20 ms later it was never lost (observed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a channel allows.

    Attributes:
        events_per_publish: events in one publish (event-api-websocket-protocol: 5).
        event_bytes: UTF-8 bytes of one event (AWS General Reference: 240 KB). A larger one is
            reported in ``failed`` and the others are still published (observed with
            auvred/aws-appsync-events against AWS).
        request_bytes: bytes of an HTTP publish (AWS General Reference: 1.2 MB).
        frame_bytes: bytes of one WebSocket message that a side must accept. Ours: a full publish
            of 1.2 MB whose quotes are escaped once more, plus credentials.
        subscriptions_per_connection: AWS General Reference: 200; the next one is answered with
            ``MaxSubscriptionsReachedError``.
        publishes_in_flight: publishes on one connection that wait for their answer. Ours: a bound
            on what a peer can make us remember; AWS limits the rate instead (25 a second).
        keep_alive: seconds between two ``ka`` of a server (event-api-websocket-protocol: 60).
        keep_alive_after_ack: whether the first ``ka`` follows the ack at once, before the first
            ``subscribe_success``. AWS does so (session log in anomalyco/sst#5729); Stelvio takes
            that ``ka`` for the answer to its subscribe, so a relay may switch it off.
        connection_timeout: seconds of silence after which a client gives a connection up; the
            ack carries it (event-api-websocket-protocol: 300, five times the ``ka`` interval).
        connection_life: seconds after which the service ends a connection
            (event-api-websocket-protocol: 24 hours).

    Raises:
        LocalProtocolError: a number is not positive.
    """

    id_length: ClassVar[int] = ID_LENGTH
    segment_length: ClassVar[int] = SEGMENT_LENGTH
    segments_per_channel: ClassVar[int] = SEGMENTS_PER_CHANNEL

    events_per_publish: int = 5
    event_bytes: int = 240 * 1024
    request_bytes: int = 1_200_000
    frame_bytes: int = 2_500_000
    subscriptions_per_connection: int = 200
    publishes_in_flight: int = 1_000
    keep_alive: float = 60.0
    keep_alive_after_ack: bool = True
    connection_timeout: float = 300.0
    connection_life: float = 86_400.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not False and not value > 0:
                raise LocalProtocolError(f"{each.name} must be positive")


DEFAULT_LIMITS = Limits()
"""What AWS allows."""
