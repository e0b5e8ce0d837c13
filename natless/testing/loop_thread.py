"""A loop in a thread of its own, in which one async context manager is held open.

It is entered and left in the same task, as some of them must be.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class LoopThread(Generic[T]):
    """Runs coroutines for those who have no loop; :meth:`open` comes first, :meth:`close` last."""

    def __init__(self, held: AbstractAsyncContextManager[T]) -> None:
        self._held = held
        self._opened: Future[T] = Future()
        self._closed: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        # A daemon: who ends without closing is not kept from ending, and the lab ends with us.
        self._thread = threading.Thread(target=self._run, name="natless-lab", daemon=True)

    def open(self) -> T:
        """Enters what is held and returns what it gives.

        Raises:
            BaseException: whatever entering it raises.
        """
        self._thread.start()
        try:
            return self._opened.result()
        except BaseException:  # also Ctrl-C, while it is being entered
            self._end()
            raise

    def close(self) -> None:
        """Leaves what is held.

        Raises:
            BaseException: whatever leaving it raises.
        """
        self._end()
        self._closed.result()

    def start(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Runs a coroutine in the loop, from any thread."""
        if self._loop is None or not self._thread.is_alive():
            work.close()
            raise RuntimeError("the lab is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Likewise, and waits for its result."""
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _end(self) -> None:
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._hold())
        except asyncio.CancelledError:
            self._closed.set_result(None)
        except BaseException as error:  # it belongs to whoever opens or closes
            if not self._opened.done():
                self._opened.set_exception(error)
            self._closed.set_exception(error)
        else:
            self._closed.set_result(None)

    async def _hold(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        async with self._held as opened:
            self._opened.set_result(opened)
            await asyncio.Event().wait()
