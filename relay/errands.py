"""Work that runs beside the connections and belongs to none of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Errands:
    """Keeps tasks alive until they end, and ends them with the relay."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs ``work``; what it raises is logged."""
        # One name for all of a kind: asyncio would make a new one for each and keep it.
        task = asyncio.create_task(work, name=getattr(work, "__qualname__", None))
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def settle(self, budget: float) -> None:
        """Waits until all of it has ended, for at most so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=budget)

    async def close(self) -> None:
        """Cancels what still runs and waits for it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an errand failed", exc_info=error)
