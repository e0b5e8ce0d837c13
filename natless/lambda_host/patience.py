"""Waiting for code that somebody may be debugging: time with a debugger attached does not count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from natless.lambda_host.clock import Clock, wait_first

LOOK_AGAIN = 0.5  # seconds after which it is found out that a debugger has come or gone
AFTERWARDS = 5.0  # seconds for what is left to do when a debugger has held things up

IsDebugged = Callable[[], bool]
"""Whether a debugger is attached right now."""


class Patience:
    """Waits until a deadline that moves while a debugger is attached.

    Args:
        clock: whose time counts.
        is_debugged: None where there is no debugger; then it waits like :func:`wait_first`.
    """

    def __init__(self, clock: Clock, is_debugged: IsDebugged | None = None) -> None:
        self._clock = clock
        self._is_debugged = is_debugged

    @property
    def is_endless(self) -> bool:
        """Whether a debugger is attached, so that nothing runs out right now."""
        return self._is_debugged is not None and self._is_debugged()

    def extend(self, deadline: float) -> float:
        """A deadline for what follows :meth:`wait`, which may have lasted longer than that."""
        if self._is_debugged is None:
            return deadline
        return max(deadline, self._clock.now() + AFTERWARDS)

    async def wait(self, deadline: float, *futures: asyncio.Future[Any]) -> bool:
        """Waits until one of ``futures`` is done or the time for it was used up.

        Returns:
            Whether one of them is done.
        """
        if self._is_debugged is None:
            return await wait_first(self._clock, deadline, *futures)
        left = deadline - self._clock.now()
        while True:
            step = LOOK_AGAIN if self.is_endless else min(left, LOOK_AGAIN)
            began = self._clock.now()
            if await wait_first(self._clock, began + step, *futures):
                return True
            if not self.is_endless:
                left -= step
                if left <= 0:
                    return False
