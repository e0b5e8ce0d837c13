"""Runs what a command does until it is done, or until somebody wants it to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Terminated(Exception):
    """SIGTERM came; everything has been taken down."""


def run_until_done(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; SIGTERM takes it down as cleanly as Ctrl-C does.

    Raises:
        KeyboardInterrupt: Ctrl-C, after everything was taken down.
        Terminated: SIGTERM, likewise.
    """
    is_terminated = False

    async def watched() -> T:
        nonlocal is_terminated
        task = asyncio.current_task()
        assert task is not None

        def end() -> None:
            nonlocal is_terminated
            is_terminated = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        if is_terminated:
            raise Terminated from None
        raise
