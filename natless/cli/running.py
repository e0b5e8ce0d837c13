"""Runs what a command does until it is done, or until somebody wants it to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

INTERRUPTED = "natless: interrupted; nothing is left running"


class Interrupted(Exception):
    """Ctrl-C; everything has been taken down.

    No ``KeyboardInterrupt``: typer would turn that into a silent exit.
    """


class Terminated(Exception):
    """SIGTERM came, or the terminal is gone; everything has been taken down.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        is_hangup = number is signal.SIGHUP
        super().__init__("the terminal is gone" if is_hangup else "terminated")
        self.number = number


def run_until_done(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; SIGTERM and SIGHUP take it down as cleanly as Ctrl-C does.

    Raises:
        Interrupted: Ctrl-C, after everything was taken down.
        Terminated: SIGTERM or SIGHUP, likewise.
    """
    ended_by: signal.Signals | None = None

    async def watched() -> T:
        task = asyncio.current_task()
        assert task is not None

        def end(number: signal.Signals) -> None:
            nonlocal ended_by
            ended_by = number
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                asyncio.get_running_loop().add_signal_handler(number, end, number)
        return await work

    try:
        return asyncio.run(watched())
    except KeyboardInterrupt:
        raise Interrupted from None
    except (asyncio.CancelledError, OSError):  # whoever writes to a terminal that is gone gets one
        if ended_by is not None:
            raise Terminated(ended_by) from None
        raise
