"""``ka`` for every acknowledged connection, and the end of those that are too old: one timer.

A wheel with :data:`SLOTS` slots turns once per interval. A connection sits in the slot of the
moment it was acknowledged, so its ``ka`` come one interval apart and ten thousand connections do
not all get theirs in the same millisecond.
"""

from __future__ import annotations

from typing import Protocol

from relay.clock import Clock, Timer

SLOTS = 60


class Kept(Protocol):
    """What the wheel needs of a connection."""

    opened: float

    def keep_alive(self) -> None:
        """Sends ``ka``."""

    def expire(self) -> None:
        """Ends the connection because of its age."""


class KeepAliveWheel:
    """Turns while there are connections.

    Args:
        clock: whose time counts.
        interval: seconds between two ``ka`` of one connection.
        life: seconds after which a connection is ended.
    """

    def __init__(self, clock: Clock, *, interval: float, life: float) -> None:
        self._clock = clock
        self._interval = interval
        self._life = life
        self._slots: list[dict[Kept, None]] = [{} for _ in range(SLOTS)]
        self._slot_of: dict[Kept, int] = {}
        self._by_age: dict[Kept, None] = {}
        self._position = 0
        self._timer: Timer | None = None
        self._due = 0.0

    def open(self, connection: Kept) -> None:
        """Watches a connection's age from now on."""
        self._by_age[connection] = None
        if self._timer is None:
            self._due = self._clock.now()
            self._wait()

    def acknowledge(self, connection: Kept) -> bool:
        """Sends ``ka`` to a connection, one interval from now for the first time.

        Returns:
            Whether that is news.
        """
        if connection not in self._by_age or connection in self._slot_of:
            return False
        self._slot_of[connection] = self._position
        self._slots[self._position][connection] = None
        return True

    def close(self, connection: Kept) -> None:
        """Forgets a connection; harmless for one that is not watched."""
        self._by_age.pop(connection, None)
        slot = self._slot_of.pop(connection, None)
        if slot is not None:
            del self._slots[slot][connection]
        if not self._by_age:
            self.stop()

    def stop(self) -> None:
        """Forgets the timer; the next :meth:`open` starts it again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._due += min(self._interval / SLOTS, self._life)
        self._timer = self._clock.call_at(self._due, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = self._clock.now()
        self._position = (self._position + 1) % SLOTS
        for connection in self._slots[self._position]:
            connection.keep_alive()
        self._end_old(now)
        self._due = max(self._due, now - self._interval)  # a machine that slept does not catch up
        if self._by_age:
            self._wait()

    def _end_old(self, now: float) -> None:
        old = []
        for connection in self._by_age:
            if now - connection.opened < self._life:
                break
            old.append(connection)
        for connection in old:
            self.close(connection)
            connection.expire()
