"""Where the relay reads time, so that a test can move it by hand.

Two clocks in one: monotonic seconds for everything that is waited for, and seconds since 1970 for
what clients and keys say (expiry, signatures).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """An action that has not happened yet."""

    def cancel(self) -> None:
        """Forgets the action; harmless when it already happened."""


class Clock(Protocol):
    """What the relay asks of time."""

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> float:
        """Seconds since 1970, UTC."""

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Runs ``action`` in the event loop once ``now()`` reaches ``when``."""

    async def sleep(self, seconds: float) -> None:
        """Returns when that many seconds have passed."""


class SystemClock:
    """The machine's own clocks; to be used inside a running event loop."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Runs ``action`` at ``when``; asyncio's loop reads the same monotonic clock."""
        return asyncio.get_running_loop().call_at(when, action)

    async def sleep(self, seconds: float) -> None:
        """Returns when that many seconds have passed."""
        await asyncio.sleep(seconds)


class HandMovedClock:
    """A clock that stands still until :meth:`advance` moves it."""

    def __init__(self, *, now: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._now = now
        self._offset = wall - now
        self._count = itertools.count()
        self._timers: list[tuple[float, int, _HandTimer]] = []

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        return self._now + self._offset

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Runs ``action`` during the :meth:`advance` that reaches ``when``."""
        timer = _HandTimer(action)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Returns after :meth:`advance` has gone that far."""
        done = asyncio.get_running_loop().create_future()
        self.call_at(self._now + seconds, lambda: None if done.done() else done.set_result(None))
        await done

    def advance(self, seconds: float) -> None:
        """Moves time on and runs what falls due on the way, in order."""
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if timer.action is not None:
                timer.action()
        self._now = until

    @property
    def waiting(self) -> int:
        """How many actions have not happened yet."""
        return sum(timer.action is not None for _, _, timer in self._timers)


class _HandTimer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None
