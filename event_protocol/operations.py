"""What is going on under the ids of one connection: its subscriptions and its publications.

Both walk the tables of ``states.py``; what a table does not hold is a :class:`Violation`, which
:class:`~event_protocol.connection.EventConnection` turns into our error or the peer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from event_protocol import states
from event_protocol.frames import Publish, Subscribe
from event_protocol.limits import Limits
from event_protocol.states import (
    PublicationEvent,
    PublicationState,
    SubscriptionEvent,
    SubscriptionState,
)


class Violation(Exception):
    """Something illegal was tried; whose fault that is, is for the connection to say.

    Attributes:
        error_type: AWS's name for it.
    """

    def __init__(self, message: str, *, error_type: str = "BadRequestException") -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as this side knows it.

    Attributes:
        id: as the client chose it.
        channel: the channel or pattern exactly as it was sent.
        state: never ``unused``: such a subscription is not kept.
    """

    id: str
    channel: str
    state: SubscriptionState


class Subscriptions(Mapping[str, Subscription]):
    """The subscriptions of a connection by id, those that were asked for and are not over."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.subscriptions_per_connection
        self._by_id: dict[str, Subscription] = {}

    def __getitem__(self, subscription_id: str) -> Subscription:
        return self._by_id[subscription_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def begin(self, frame: Subscribe) -> None:
        """A client asks for one more."""
        if frame.id in self._by_id:
            raise Violation(
                f"Operation id {frame.id} is already in use", error_type="DuplicatedOperationError"
            )
        if len(self._by_id) >= self._limit:
            raise Violation(
                f"Subscription limit of {self._limit} exceeded",
                error_type="MaxSubscriptionsReachedError",
            )
        self._by_id[frame.id] = Subscription(
            frame.id, frame.channel, self._next_state(frame.id, SubscriptionEvent.SUBSCRIBE)
        )

    def withdraw(self, subscription_id: str) -> None:
        """A client wants it no longer."""
        try:
            self.move(subscription_id, SubscriptionEvent.UNSUBSCRIBE)
        except Violation:  # in AWS's words
            raise Violation(
                f"Unknown operation id {subscription_id}", error_type="UnknownOperationError"
            ) from None

    def move(self, subscription_id: str, event: SubscriptionEvent) -> None:
        """Anything else that happens to one."""
        after = self._next_state(subscription_id, event)
        held = self._by_id.get(subscription_id)
        if held is None or after is held.state:
            return
        if after is SubscriptionState.UNUSED:
            del self._by_id[subscription_id]
        else:
            self._by_id[subscription_id] = Subscription(held.id, held.channel, after)

    def _next_state(self, subscription_id: str, event: SubscriptionEvent) -> SubscriptionState:
        held = self._by_id.get(subscription_id)
        before = SubscriptionState.UNUSED if held is None else held.state
        after = states.SUBSCRIPTION.get((before, event))
        if after is None:
            raise Violation(f"{event} is not legal while the subscription is {before}")
        return after


class Publications:
    """The publishes of a connection that wait for their answer.

    How AWS treats a publish whose id is still waiting is not known; here each is answered.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[str, int] = {}
        self._count = 0

    def __contains__(self, publication_id: str) -> bool:
        return publication_id in self._waiting

    def __len__(self) -> int:
        return self._count

    def begin(self, frame: Publish) -> None:
        """A client publishes."""
        limit = self._limits.events_per_publish
        if len(frame.events) > limit:  # AWS's words on a WebSocket; over HTTP it has others
            raise Violation(f"input exceeded {limit} event limit", error_type="InvalidInputError")
        if self._count >= self._limits.publishes_in_flight:
            raise Violation("Rate limit exceeded", error_type="LimitExceededError")
        self._step(frame.id, PublicationState.UNUSED, PublicationEvent.PUBLISH)

    def answer(self, publication_id: str, event: PublicationEvent) -> None:
        """A server answers the oldest publish with this id."""
        is_waiting = publication_id in self._waiting
        before = PublicationState.REQUESTED if is_waiting else PublicationState.UNUSED
        self._step(publication_id, before, event)

    def _step(self, publication_id: str, before: PublicationState, event: PublicationEvent) -> None:
        after = states.PUBLICATION.get((before, event))
        if after is None:
            raise Violation(f"{event} is not legal while the publication is {before}")
        step = 1 if after is PublicationState.REQUESTED else -1
        self._count += step
        waiting = self._waiting.get(publication_id, 0) + step
        if waiting:
            self._waiting[publication_id] = waiting
        else:
            del self._waiting[publication_id]
