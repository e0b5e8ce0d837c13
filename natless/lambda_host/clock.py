"""Time as the imitated parts see it: the system's, or one that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that was asked for and has not happened yet."""

    def cancel(self) -> None:
        """Withdraws it."""


class Clock(Protocol):
    """Where every duration of an execution environment comes from."""

    def now(self) -> float:
        """Monotonic seconds, the clock of the journal."""

    def wall(self) -> float:
        """Seconds since 1970, for deadlines and dates that leave the process."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Calls ``callback`` once ``now()`` has reached ``when``."""


class SystemClock:
    """The machine's clock; needs a running asyncio loop for its timers."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Asks the loop, whose clock is the same monotonic one."""
        return asyncio.get_running_loop().call_at(when, callback)


class HandClock:
    """A clock that stands still until :meth:`advance` moves it."""

    def __init__(self, *, now: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._now = now
        self._wall_offset = wall - now
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _HandTimer]] = []
        self._watchers: list[tuple[int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """The time that was reached so far."""
        return self._now

    def wall(self) -> float:
        """The same as seconds since 1970."""
        return self._now + self._wall_offset

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Keeps the call until :meth:`advance` passes ``when``."""
        timer = _HandTimer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        self._tell_watchers()
        return timer

    def advance(self, seconds: float) -> None:
        """Moves the clock and makes the calls that became due, in their order."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            timer.fire()
        self._now = end

    async def pending(self, count: int = 1) -> None:
        """Returns once at least ``count`` calls are waiting for their time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append((count, future))
        self._tell_watchers()
        await future

    def _tell_watchers(self) -> None:
        alive = sum(timer.is_pending for _, _, timer in self._timers)
        for watcher in [entry for entry in self._watchers if entry[0] <= alive]:
            self._watchers.remove(watcher)
            if not watcher[1].done():
                watcher[1].set_result(None)


class _HandTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    @property
    def is_pending(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


async def wait_first(clock: Clock, deadline: float | None, *futures: asyncio.Future[Any]) -> bool:
    """Waits until one of ``futures`` is done or ``clock`` reaches ``deadline``.

    The futures are left as they are: not cancelled, not read.

    Args:
        clock: whose time counts.
        deadline: monotonic seconds of ``clock``; None waits without end.
        futures: tasks or futures; which one is done, the caller asks them.

    Returns:
        Whether one of them is done; False means that the time is over.
    """
    if any(future.done() for future in futures):
        return True
    waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def finish(is_done: bool) -> None:
        if not waiter.done():
            waiter.set_result(is_done)

    def on_done(_: asyncio.Future[Any]) -> None:
        finish(True)

    timer = None if deadline is None else clock.call_at(deadline, lambda: finish(False))
    for future in futures:
        future.add_done_callback(on_done)
    try:
        return await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(on_done)
