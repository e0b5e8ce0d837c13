"""Which process serves: at most one does, one more may be starting, older ones finish and end.

::

    begin ──▶ starting ──ready──▶ serving ──▶ retiring: what runs is finished, within a budget
      ▲          │  └─begin again: dropped        ▲
      │          └──failed──▶ the failure is held ┘ the code before the edit serves no more
    reserve: a process that has loaded no code yet, taken by the next begin

Once an edit failed, nothing of the old code answers: the developer would look for the change in
vain. Each event is answered with the failure until a later start works.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from natless.journal import Journal
from natless.lambda_host.clock import Clock
from natless.lambda_host.invocation import Failure
from natless.lambda_host.launcher import Launcher
from natless.lambda_host.patience import Patience
from natless.worker.config import WorkerBudgets
from natless.worker.debug_door import DebugDoor
from natless.worker.failures import describe_failure
from natless.worker.process import SOURCE, HandlerProcess
from natless.worker.program import Program
from natless.worker.reload import Edit
from natless.worker.reserve import Reserve, Reserves, Spawn

RELOADED = "reloaded"
_TRIES_ANEW = 2  # of a start whose process in reserve was of no use


@dataclass(slots=True)
class _Attempt:
    process: HandlerProcess
    task: asyncio.Task[None] | None = None
    failure: Failure | None = None

    @property
    def is_over(self) -> bool:
        return self.task is not None and self.task.done()


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The handler could not be loaded.

    Attributes:
        failure: why.
        is_news: whether that was found out while the caller waited.
    """

    failure: Failure
    is_news: bool


class HandlerSlot:
    """Keeps a process with the newest code for one execution environment."""

    def __init__(
        self,
        worker_id: str,
        *,
        budgets: WorkerBudgets,
        launcher: Launcher,
        journal: Journal,
        clock: Clock,
        spawn: Spawn,
        reserves: Reserves | None = None,
    ) -> None:
        self._worker_id = worker_id
        self._budgets = budgets
        self._launcher = launcher
        self._journal = journal
        self._clock = clock
        self._spawn = spawn
        self._program: Program | None = None
        self._generation = 0
        self._attempt: _Attempt | None = None
        self._serving: HandlerProcess | None = None
        self._alive: set[HandlerProcess] = set()
        self._reserve = Reserve(
            reserves or Reserves(0),
            make=self._make_process,
            launcher=launcher,
            budgets=budgets,
            clock=clock,
            spawn=spawn,
        )
        self._door: DebugDoor | None = None
        self._patience = Patience(clock)
        self._is_closed = False

    def debug_through(self, door: DebugDoor) -> None:
        """Sets where debuggers come from; before the first :meth:`begin`."""
        self._door = door
        self._patience = Patience(self._clock, lambda: door.stops_time)

    def begin(self, program: Program | None = None, *, edit: Edit | None = None) -> None:
        """Starts the newest code; what serves goes on until that is ready.

        Args:
            program: what to start from now on; the same as before when left out.
            edit: why, if the developer has saved something.
        """
        self._program = program or self._program
        if self._program is None or self._is_closed:
            return
        unfinished = self._drop_attempt()
        if edit is not None:
            self._generation += 1
            self._fact("worker.reload.started", files=edit.files)
            if not edit.is_code_alone:
                self._reserve.drop()  # other packages may be meant from now on
        process = self._reserve.take(self._program) or self._make_process()
        self._alive.add(process)
        process.assign(generation=self._generation, edit=edit or unfinished)
        self._attempt = attempt = _Attempt(process)
        attempt.task = self._spawn(self._start(attempt, self._program))

    async def ready(
        self, *, deadline: float, withdrawn: asyncio.Future[str]
    ) -> HandlerProcess | NotLoaded | None:
        """A process that waits for an event, or why there is none.

        A failure that was not known when the caller came is told at once, and another start is
        tried behind it: what was missing may be there by now.

        Returns:
            None when ``deadline`` came or ``withdrawn`` was done first, or the slot was closed.

        Raises:
            RuntimeError: nothing was begun yet.
        """
        if self._program is None:
            raise RuntimeError("there is no program to start yet")
        waited_for: _Attempt | None = None
        while not (withdrawn.done() or self._is_closed):
            if self._clock.now() >= deadline and not self._patience.is_endless:
                break
            attempt = self._attempt
            if attempt is None or attempt.task is None:
                self.begin()
            elif not attempt.is_over:
                waited_for = attempt
                await self._patience.wait(deadline, attempt.task, withdrawn)
            elif attempt.failure is not None:
                self.begin()
                return NotLoaded(attempt.failure, is_news=attempt is waited_for)
            elif self._serving is None or not self._serving.is_usable:
                self.begin()
            elif self._serving.is_idle:
                self._reserve.renew_later(self._program)
                return self._serving
            else:
                await self._serving.idle(deadline, withdrawn)
        return None

    def replace(self, process: HandlerProcess) -> None:
        """Ends a process that is of no more use, and starts another in its place."""
        if process is self._serving:
            self._serving = None
            self.begin()
        self._spawn(self._end(process))

    def rest(self) -> None:
        """Ends what serves; the next :meth:`ready` starts it again."""
        self._reserve.stop()
        self._drop_attempt()
        self._attempt = None
        process, self._serving = self._serving, None
        if process is not None:
            self._spawn(self._end(process))

    def shut(self) -> None:
        """Starts no process any more; :meth:`close` must follow."""
        self._is_closed = True
        self._reserve.shut()

    async def close(self) -> None:
        """Ends every process; none will be started any more."""
        self.shut()
        self._drop_attempt()
        await asyncio.gather(self._reserve.close(), *(each.stop() for each in self._alive))

    def _drop_attempt(self) -> Edit | None:
        """Stops a start that is under way; the edit that it was for, which is still to be shown."""
        attempt = self._attempt
        if attempt is None or attempt.task is None or attempt.is_over:
            return None
        attempt.task.cancel()
        if not self._is_closed:
            self._spawn(self._end(attempt.process))  # the task may not have begun to look after it
        return attempt.process.edit

    async def _start_process(self, process: HandlerProcess, program: Program) -> Failure | None:
        self._alive.add(process)
        try:
            failure = await process.start(
                program,
                launcher=self._launcher,
                deadline=self._clock.now() + self._budgets.init,
            )
        except BaseException:
            await self._end(process)
            raise
        if failure is not None:
            self._alive.discard(process)
        return failure

    async def _start(self, attempt: _Attempt, program: Program) -> None:
        process, failure = attempt.process, await self._start_process(attempt.process, program)
        for _ in range(_TRIES_ANEW):
            if not process.is_unfit:
                break
            fresh = self._make_process()
            fresh.assign(generation=process.generation, edit=process.edit)
            process = attempt.process = fresh
            failure = await self._start_process(process, program)
        attempt.failure = failure
        self._tell(process, failure)
        old, self._serving = self._serving, None if failure else process
        if old is not None:
            self._spawn(self._retire(old))
        if self._reserve.is_wanted:
            self._reserve.renew_later(program)  # the next edit may come before the next call

    def _make_process(self) -> HandlerProcess:
        return HandlerProcess(
            self._journal,
            worker_id=self._worker_id,
            generation=self._generation,
            clock=self._clock,
            door=self._door,
        )

    async def _retire(self, process: HandlerProcess) -> None:
        """Lets a process finish what it runs, within its budget, and ends it."""
        deadline = self._clock.now() + self._budgets.reload_finish
        await process.free(deadline)
        process.withdraw(RELOADED)
        await self._end(process)

    async def _end(self, process: HandlerProcess) -> None:
        await process.stop()
        self._alive.discard(process)

    def _tell(self, process: HandlerProcess, failure: Failure | None) -> None:
        if process.edit is None:
            return
        environment = self._program.environment if self._program is not None else None
        if failure is None:
            seconds = round(self._clock.now() - process.edit.noticed, 6)
            self._fact("worker.reload.complete", files=process.edit.files, seconds=seconds)
        else:
            self._fact(
                "worker.reload.failed",
                files=process.edit.files,
                error_type=failure.error_type,
                **describe_failure(failure, environment=environment),
            )

    def _fact(self, kind: str, **data: object) -> None:
        self._journal.record(
            kind,
            source=SOURCE,
            at=self._clock.now(),
            worker_id=self._worker_id,
            generation=self._generation,
            **data,
        )
