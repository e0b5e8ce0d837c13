"""Processes in reserve: started with everything but the developer's code, for the next edit.

::

    renew_later ──a moment later──▶ starting ──held──▶ waiting ──take──▶ loads the new code
                                       └──────── drop, stop ────────┴──▶ ended
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from natless.lambda_host.clock import Clock, Timer
from natless.lambda_host.launcher import Launcher
from natless.worker.config import WorkerBudgets
from natless.worker.process import HandlerProcess
from natless.worker.program import Program

DISPLACED = 30.0  # seconds for which who gave its reserve up does not take another's

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Runs a coroutine beside the caller, for as long as the worker lives."""


class Reserves:
    """Which environments keep a process in reserve: the few that were used last.

    One that had to give its own up does not take another's for a while: under load more of them are
    used all the time than there are reserves, and would do nothing but start processes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._admitted: OrderedDict[Reserve, None] = OrderedDict()
        self._displaced: dict[Reserve, float] = {}

    def admit(self, reserve: Reserve, *, now: float) -> bool:
        """Whether one that was just used may be kept; another one may have to give up."""
        is_full = reserve not in self._admitted and len(self._admitted) >= self._limit
        if is_full and now - self._displaced.get(reserve, -DISPLACED) < DISPLACED:
            return False
        self._displaced.pop(reserve, None)
        self._admitted[reserve] = None
        self._admitted.move_to_end(reserve)
        while len(self._admitted) > self._limit:
            oldest, _ = self._admitted.popitem(last=False)
            self._displaced[oldest] = now
            oldest.drop()
        return reserve in self._admitted

    def __contains__(self, reserve: Reserve) -> bool:
        return reserve in self._admitted

    def leave(self, reserve: Reserve) -> None:
        """It is needed no more."""
        self._admitted.pop(reserve, None)
        self._displaced.pop(reserve, None)


class Reserve:
    """The process in reserve of one execution environment, if it has one.

    Args:
        reserves: decides who may have one.
        make: makes a process that is not started yet.
        launcher: starts it.
        budgets: how long after a call that is done, and how long it may take.
        clock: for these waits.
        spawn: runs a coroutine beside the caller.
    """

    def __init__(
        self,
        reserves: Reserves,
        *,
        make: Callable[[], HandlerProcess],
        launcher: Launcher,
        budgets: WorkerBudgets,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._reserves = reserves
        self._make = make
        self._launcher = launcher
        self._budgets = budgets
        self._clock = clock
        self._spawn = spawn
        self._process: HandlerProcess | None = None
        self._program: Program | None = None  # what it was started for
        self._alive: set[HandlerProcess] = set()
        self._timer: Timer | None = None
        self._is_closed = False

    @property
    def is_wanted(self) -> bool:
        """Whether the environment is one of those that keep a process in reserve."""
        return self in self._reserves

    def renew_later(self, program: Program) -> None:
        """Has a process started for ``program`` once nobody is in a hurry."""
        if not self._is_closed and program.can_be_held and self._timer is None:
            when = self._clock.now() + self._budgets.reserve
            self._timer = self._clock.call_at(when, lambda: self._renew(program))

    def take(self, program: Program) -> HandlerProcess | None:
        """The process, if it waits and was started for this program; it is the caller's now."""
        process = self._process
        if process is None or not process.is_held:
            return None
        if self._program is not program:
            self.drop()
            return None
        self._process = None
        self._alive.discard(process)
        return process

    def drop(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is not None and not self._is_closed:
            self._spawn(self._end(process))

    def stop(self) -> None:
        """Ends the process and starts no other until :meth:`renew_later`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reserves.leave(self)
        self.drop()

    def shut(self) -> None:
        """Starts none any more; :meth:`close` must follow."""
        self._is_closed = True
        self.stop()

    async def close(self) -> None:
        """Ends every process; none will be started any more."""
        self.shut()
        await asyncio.gather(*(process.stop() for process in self._alive))

    def _renew(self, program: Program) -> None:
        self._timer = None
        if self._is_closed or not self._reserves.admit(self, now=self._clock.now()):
            return
        if self._process in self._alive and self._program is program:
            return  # it waits already, or will
        self.drop()
        self._process, self._program = self._make(), program
        self._spawn(self._hold(self._process, program))

    async def _hold(self, process: HandlerProcess, program: Program) -> None:
        self._alive.add(process)
        deadline = self._clock.now() + self._budgets.init
        try:
            is_held = await process.hold(program, launcher=self._launcher, deadline=deadline)
        except BaseException:
            await self._end(process)
            raise
        if not is_held or self._is_closed:
            await self._end(process)

    async def _end(self, process: HandlerProcess) -> None:
        await process.stop()
        self._alive.discard(process)
