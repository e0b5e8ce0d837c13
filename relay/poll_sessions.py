"""Subscriptions that are fetched by HTTP instead of pushed over a WebSocket.

::

    hub ── frames of a tick ──▶ Session.outlet ──▶ events, numbered 1, 2, 3 …
                                                      │  held until a question says "after n"
    question ──────────────────────────────────────── ▼  answered at once, or at the next event

A session is an outlet of the hub like a WebSocket, so order, bounds and the cutting of the slow are
the hub's own. Its queue is what the asker has not confirmed yet.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

from event_protocol.channels import ChannelPattern
from relay.clock import Clock, Timer
from relay.errors import Refusal
from relay.hub import Hub, Outlet
from relay.journal import Journal
from relay.namespaces import Api, Subscription

SESSIONS_COUNT = 1000  # at once
SESSION_LIFE = 60.0  # seconds without a question
ANSWER_BYTES = 1 << 20  # of events in one answer; one event is always given


class Session:
    """One subscription and what it has not handed over for good.

    Attributes:
        id: its secret name.
        api: whose channel it listens to.
        subscription: its place in the API's table.
        first: the number of the oldest event that is held.
        delivered: events that the asker has confirmed.
    """

    def __init__(self, api: Api, pattern: ChannelPattern, *, on_cut: Callable[[], None]) -> None:
        self.id = secrets.token_hex(16)
        self.api = api
        outlet = Outlet(write=self._take, unsent=lambda: self._held_bytes, cut=on_cut)
        self.subscription = Subscription("poll", pattern, outlet=outlet)
        self.subscription.prefix = b""  # then a frame is the event and a closing brace
        self.first = 1
        self.delivered = 0
        self.timer: Timer | None = None
        self._events: deque[bytes] = deque()
        self._held_bytes = 0
        self._asker: asyncio.Future[None] | None = None

    @property
    def held(self) -> int:
        """How many events wait to be confirmed."""
        return len(self._events)

    def confirm(self, after: int) -> None:
        """Forgets every event up to this number.

        Raises:
            Refusal: nobody can have seen it, or it was confirmed with a later one.
        """
        if not self.first - 1 <= after < self.first + len(self._events):
            raise Refusal("BadRequestException", "after is not the number of an event that waits.")
        while self.first <= after:
            self._held_bytes -= len(self._events.popleft())
            self.first += 1
            self.delivered += 1

    async def arrival(self, clock: Clock, seconds: float) -> None:
        """Returns when there is an event, somebody else asks, the end came, or time is over."""
        self.wake()
        if self._events or seconds <= 0:
            return
        asker = self._asker = asyncio.get_running_loop().create_future()
        timer = clock.call_at(clock.now() + seconds, lambda: _settle(asker))
        try:
            await asker
        finally:
            timer.cancel()

    def wake(self) -> None:
        """Ends the wait of whoever asked before."""
        if self._asker is not None:
            _settle(self._asker)
            self._asker = None

    def render(self) -> bytes:
        """The events that wait, as one answer holds them: JSON strings in a list."""
        size, count = 0, 0
        for event in self._events:
            size += len(event)
            if count and size > ANSWER_BYTES:
                break
            count += 1
        return b"[%s]" % b",".join(list(self._events)[:count])

    def _take(self, frames: bytes) -> None:
        """Takes what the hub writes: whole unmasked text frames, one behind the other."""
        position = 0
        while position < len(frames):
            start, end = _payload(frames, position)
            event = frames[start : end - 1]  # without the brace that closes a data frame
            self._events.append(event)
            self._held_bytes += len(event)
            position = end
        self.wake()


class PollSessions:
    """Every session of a relay; they outlive a reload.

    Args:
        hub: hands them their events.
        clock: ends those that nobody asks any more.
        journal: gets a line for each beginning and each end.
    """

    def __init__(self, hub: Hub, clock: Clock, journal: Journal) -> None:
        self._hub = hub
        self._clock = clock
        self._journal = journal
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, api: Api, pattern: ChannelPattern, *, connection: str) -> Session:
        """Subscribes; what is published from now on is kept.

        Args:
            api: whose channel.
            pattern: which.
            connection: over which connection it was asked for.

        Raises:
            Refusal: there are too many.
        """
        if len(self._sessions) >= SESSIONS_COUNT:
            message = f"The relay keeps at most {SESSIONS_COUNT} polls."
            raise Refusal("LimitExceededError", message, status=429)
        session = Session(api, pattern, on_cut=lambda: self.end(session, "slow"))
        self._hub.flush()
        api.channels.add(session.subscription)
        self._sessions[session.id] = session
        self.touch(session)
        self._journal.record("relay.poll.opened", connection=connection, api=api.config.api_id)
        return session

    def find(self, name: str, *, api: Api, path: str) -> Session:
        """The session of this name, if it is one of this API's channel.

        Raises:
            Refusal: there is none, or no more; the asker opens another and knows of a gap.
        """
        session = self._sessions.get(name)
        if session is None or session.api is not api or session.subscription.path != path:
            raise Refusal("PollSessionNotFound", "Open another session.", status=404)
        return session

    def touch(self, session: Session) -> None:
        """Somebody asked: its life begins anew."""
        if session.timer is not None:
            session.timer.cancel()
        until = self._clock.now() + SESSION_LIFE
        session.timer = self._clock.call_at(until, lambda: self.end(session, "idle"))

    def end(self, session: Session, reason: str) -> None:
        """Forgets a session, for ``asked``, ``idle``, ``slow`` or ``drain``; harmless twice."""
        if self._sessions.pop(session.id, None) is None:
            return
        if session.timer is not None:
            session.timer.cancel()
        self._hub.flush()
        session.api.channels.remove(session.subscription)
        session.wake()
        self._journal.record(
            "relay.poll.closed", reason=reason, delivered=session.delivered, lost=session.held
        )

    def close(self) -> None:
        """Ends them all; who waits is answered."""
        for session in tuple(self._sessions.values()):
            self.end(session, "drain")


def _settle(asker: asyncio.Future[None]) -> None:
    if not asker.done():
        asker.set_result(None)


def _payload(frames: bytes, position: int) -> tuple[int, int]:
    """Where the payload of the frame at a position begins and ends (RFC 6455 section 5.2)."""
    length = frames[position + 1]
    if length < 126:
        start = position + 2
    elif length == 126:
        start = position + 4
        length = int.from_bytes(frames[position + 2 : start], "big")
    else:
        start = position + 10
        length = int.from_bytes(frames[position + 2 : start], "big")
    return start, start + length
