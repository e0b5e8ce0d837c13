"""Outbound frames: every text frame that leaves the relay goes through here. The hot path.

::

    publish(route, tails) ──> route.tails ─┐
    send(outlet, text) ────> outlet.queue ─┤ first of a tick: call_soon(flush)
                                           v
                flush: one write per connection and tick, header and id spliced in

An event is encoded once. What differs between subscribers is the WebSocket header and the
subscription's id, so a subscriber's bytes are ``prefix.join([header, tail + header, …, tail])`` and
that list is shared by all prefixes of one length. Connections with one exact subscription are
written straight from their channel's list; all others (wildcards, several subscriptions) collect
their bytes first, so that events of different channels keep their order.

Slow subscribers: after each write the hub looks at what the socket has not taken. Above
``unsent_bytes`` the connection is cut at once (no close frame: it would wait behind the rest), the
events in that rest are counted as lost, and nobody else notices. At most ``unsent_bytes`` plus one
write are ever held for one connection, and at most ``pending_bytes`` for the current tick.

Faults do not belong in here: they take the place of an outlet or a route.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

PENDING_BYTES = 1 << 20  # of one tick, before a flush does not wait for its end

_HEADER_CACHE = tuple(
    b"\x81" + bytes((n,)) if n < 126 else b"\x81\x7e" + n.to_bytes(2, "big") for n in range(4096)
)


def frame_header(length: int) -> bytes:
    """The header of an unmasked, final text frame with that many bytes (RFC 6455 section 5.2)."""
    if length < len(_HEADER_CACHE):
        return _HEADER_CACHE[length]
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class Backlog:
    """Which writes of one connection its socket has not taken yet, oldest first."""

    __slots__ = ("_held", "_writes")

    def __init__(self) -> None:
        self._writes: deque[tuple[int, int]] = deque()
        self._held = 0

    def note(self, written: int, *, events: int, unsent: int) -> None:
        """Adds a write of that many bytes and events, and drops what the socket took meanwhile.

        A TLS transport counts ``unsent`` in encrypted bytes, which are slightly more: then a write
        is kept that is gone, never the other way round.
        """
        self._writes.append((written, events))
        self._held += written
        while self._writes and self._held - self._writes[0][0] >= unsent:
            self._held -= self._writes.popleft()[0]

    def __bool__(self) -> bool:
        return bool(self._writes)

    @property
    def events(self) -> int:
        """How many events are in it, at least partly."""
        return sum(events for _, events in self._writes)


class Outlet:
    """The outbound half of one connection.

    Attributes:
        write: the transport's ``write``.
        unsent: the transport's ``get_write_buffer_size``.
        cut: called at most once, when the connection is too slow: must abort it.
        queue: frames of this tick, headers included.
        queued: how many of them are events.
        delivered: events handed to the socket.
        lost: of these, events that the socket never took.
        backlog: what the socket has not taken, None while it takes everything.
    """

    __slots__ = (
        "backlog",
        "cut",
        "delivered",
        "is_cut",
        "lost",
        "queue",
        "queued",
        "unsent",
        "write",
    )

    def __init__(
        self,
        *,
        write: Callable[[bytes], None],
        unsent: Callable[[], int],
        cut: Callable[[], None],
    ) -> None:
        self.write = write
        self.unsent = unsent
        self.cut = cut
        self.is_cut = False
        self.queue: list[bytes] = []
        self.queued = 0
        self.delivered = 0
        self.lost = 0
        self.backlog: Backlog | None = None

    def look(self) -> int:
        """How many bytes are unsent; 0 when the transport is gone.

        asyncio's TLS transport forgets its other half when it is closed twice, and then raises.
        """
        try:
            return self.unsent()
        except AttributeError:
            return 0

    def count_lost(self) -> int:
        """Adds the events in the backlog to ``lost``, once; returns ``lost``."""
        if self.backlog is not None:
            self.lost += self.backlog.events
            self.backlog = None
        return self.lost


class Subscriber:
    """One subscription, as the hub sees it.

    Attributes:
        outlet: where its frames go.
        prefix: what its ``data`` frames start with, up to the event.
    """

    __slots__ = ("outlet", "prefix")

    def __init__(self, outlet: Outlet, prefix: bytes) -> None:
        self.outlet = outlet
        self.prefix = prefix


# (prefix, its transport's write, its get_write_buffer_size, the connection): bound once
_Target = tuple[bytes, Callable[[bytes], None], Callable[[], int], Outlet]


class Route:
    """Who gets what is published on one channel, resolved.

    Attributes:
        direct: subscribers that are written straight away, by length of prefix.
        mixed: connections that have other subscriptions too, each with its prefixes here.
        tails: events of this tick: each the rest of a frame behind the prefix.
    """

    __slots__ = ("count", "direct", "mixed", "tails")

    def __init__(self, *, direct: Sequence[Subscriber], mixed: Sequence[Subscriber]) -> None:
        by_length: dict[int, list[_Target]] = {}
        for one in direct:
            target = (one.prefix, one.outlet.write, one.outlet.unsent, one.outlet)
            by_length.setdefault(len(one.prefix), []).append(target)
        self.direct = tuple((length, tuple(group)) for length, group in by_length.items())
        by_outlet: dict[Outlet, list[bytes]] = {}
        for one in mixed:
            by_outlet.setdefault(one.outlet, []).append(one.prefix)
        self.mixed = tuple((outlet, tuple(prefixes)) for outlet, prefixes in by_outlet.items())
        self.tails: list[bytes] = []
        self.count = len(direct) + len(mixed)


class Hub:
    """Collects the frames of one tick of the event loop and writes them.

    Args:
        call_soon: the loop's, to be told once per tick.
        unsent_bytes: above how many unsent bytes a connection is cut.
        pending_bytes: above how many collected bytes the tick's end is not awaited.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        *,
        unsent_bytes: int,
        pending_bytes: int = PENDING_BYTES,
    ) -> None:
        self.unsent_bytes = unsent_bytes
        self._call_soon = call_soon
        self._pending_limit = pending_bytes
        self._pending_bytes = 0
        self._is_scheduled = False
        self._routes: list[Route] = []
        self._runs: list[tuple[Route, list[bytes]]] = []
        self._dirty: list[Outlet] = []
        self._slow: list[Outlet] = []

    def send(self, outlet: Outlet, text: bytes) -> None:
        """Queues one text frame for one connection, ahead of the events of this tick."""
        if not outlet.queue:
            self._dirty.append(outlet)
            if not self._is_scheduled:
                self._schedule()
        outlet.queue.append(frame_header(len(text)) + text)

    def publish(self, route: Route, tails: Sequence[bytes], *, size: int) -> None:
        """Queues events for every subscriber of a channel.

        Args:
            route: of the channel; must be of this tick (whoever changes routes flushes first).
            tails: what follows the prefix in each event's frame: the event and a closing brace.
            size: bytes of all tails together.
        """
        if route.direct:
            if not route.tails:
                self._routes.append(route)
            route.tails += tails
        if route.mixed:
            if self._runs and self._runs[-1][0] is route:
                self._runs[-1][1].extend(tails)
            else:
                self._runs.append((route, list(tails)))
        if not self._is_scheduled:
            self._schedule()
        self._pending_bytes += size
        if self._pending_bytes > self._pending_limit:
            self.flush()

    def flush(self) -> None:
        """Writes everything now. To be called before any subscription changes.

        So nobody gets an event that was published before it subscribed, and nobody misses one that
        was published before it unsubscribed.
        """
        self._pending_bytes = 0
        if self._runs:
            self._queue_runs()
        if self._dirty:
            self._write_queues()
        if self._routes:
            self._write_routes()
        if self._slow:
            self._cut_slow()

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._call_soon(self._end_tick)

    def _end_tick(self) -> None:
        self._is_scheduled = False
        self.flush()

    def _queue_runs(self) -> None:
        runs, self._runs = self._runs, []
        for route, tails in runs:
            pieces: dict[int, list[bytes]] = {}
            for outlet, prefixes in route.mixed:
                if not outlet.queue:
                    self._dirty.append(outlet)
                outlet.queued += len(tails) * len(prefixes)
                if len(prefixes) > 1:  # each event to all of them, before the next one
                    outlet.queue += [
                        frame_header(len(prefix) + len(tail)) + prefix + tail
                        for tail in tails
                        for prefix in prefixes
                    ]
                    continue
                length = len(prefixes[0])
                if length not in pieces:
                    pieces[length] = splice(tails, length)
                outlet.queue.append(prefixes[0].join(pieces[length]))

    def _write_queues(self) -> None:
        dirty, self._dirty = self._dirty, []
        for outlet in dirty:
            queue = outlet.queue
            data = b"".join(queue) if len(queue) > 1 else queue[0]
            queue.clear()
            count, outlet.queued = outlet.queued, 0
            outlet.delivered += count
            try:
                outlet.write(data)
                if (unsent := outlet.unsent()) or outlet.backlog:
                    self._note_backlog(outlet, unsent, len(data), count)
            except AttributeError:  # see Outlet.look; whoever closed it will leave by itself
                outlet.lost += count

    def _write_routes(self) -> None:
        routes, self._routes = self._routes, []
        for route in routes:
            tails, route.tails = route.tails, []
            count = len(tails)
            for length, targets in route.direct:
                pieces = splice(tails, length)
                for prefix, write, unsent_bytes, outlet in targets:
                    data = prefix.join(pieces)
                    outlet.delivered += count
                    try:
                        write(data)
                        if (unsent := unsent_bytes()) or outlet.backlog:
                            self._note_backlog(outlet, unsent, len(data), count)
                    except AttributeError:  # see Outlet.look
                        outlet.lost += count

    def _note_backlog(self, outlet: Outlet, unsent: int, written: int, events: int) -> None:
        """Keeps account of which writes the socket has not taken, and finds who is too slow."""
        backlog = outlet.backlog or Backlog()
        backlog.note(written, events=events, unsent=unsent)
        outlet.backlog = backlog if unsent else None
        if unsent > self.unsent_bytes and not outlet.is_cut:
            outlet.is_cut = True
            self._slow.append(outlet)

    def _cut_slow(self) -> None:
        slow, self._slow = self._slow, []
        for outlet in slow:
            outlet.count_lost()
            outlet.cut()


def splice(tails: Sequence[bytes], length: int) -> list[bytes]:
    """What a prefix of that length must join to become the frames of these events."""
    pieces = [frame_header(length + len(tails[0]))]
    for tail, following in pairwise(tails):
        pieces.append(tail + frame_header(length + len(following)))
    pieces.append(tails[-1])
    return pieces
