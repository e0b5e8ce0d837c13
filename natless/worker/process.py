"""The developer's handler in a process of its own, asked through a private Runtime API."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from natless.journal import Journal
from natless.lambda_host.clock import Clock, wait_first
from natless.lambda_host.invocation import Failure
from natless.lambda_host.launcher import Launcher
from natless.lambda_host.output import Stream
from natless.lambda_host.patience import Patience
from natless.lambda_host.runtime_process import RuntimeProcess, describe_exit
from natless.lambda_host.runtime_session import Answer, Event
from natless.runtimes.base import client_path
from natless.runtimes.python import CLIENT
from natless.worker.debug_door import DebugDoor
from natless.worker.private_api import PrivateApi
from natless.worker.program import Program
from natless.worker.reload import Edit

SOURCE = "worker"
UNFIT = 75  # our clients' exit status where what they have imported is no longer what comes first
# Node.js tells of its inspector, with the port that is behind a door.
_OF_INSPECTOR = re.compile(
    r"Debugger (?:listening|ending) on ws:|Debugger attached|For help, see: https://nodejs.org/"
)


class HandlerProcess:
    """One process with one version of the code; the owner must :meth:`stop` it.

    Attributes:
        generation: which version of the code it was started for, counted from 0.
        edit: what it was started for, until its first answer; None when nothing was edited.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        worker_id: str,
        generation: int,
        clock: Clock,
        edit: Edit | None = None,
        door: DebugDoor | None = None,
    ) -> None:
        self.generation = generation
        self.edit = edit
        self._journal = journal
        self._worker_id = worker_id
        self._clock = clock
        self._door = door
        self._debug_port = 0
        self._is_stopped = False
        self._patience = Patience(clock, None if door is None else lambda: door.stops_time)
        self._request_id = ""
        self._withdrawn: asyncio.Future[str] | None = None
        self._free: asyncio.Future[None] | None = None
        self._runtime: RuntimeProcess | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it runs; it may still be busy."""
        return self._runtime is not None and not self._runtime.has_exited

    @property
    def is_held(self) -> bool:
        """Whether it waits for the code that it shall load."""
        return self._runtime is not None and self.is_usable and _private(self._runtime).is_holding

    @property
    def is_idle(self) -> bool:
        """Whether it waits for an event."""
        return self._runtime is not None and self._runtime.api.is_idle and self.is_usable

    async def start(
        self, program: Program, *, launcher: Launcher, deadline: float
    ) -> Failure | None:
        """Starts it, unless it was :meth:`held`, and waits until it has loaded the handler.

        Returns:
            None when it is ready, otherwise why it is not; then it is stopped.
        """
        started = self._clock.now()
        failure = None
        if self._runtime is None:
            failure = await self._launch(program, launcher)
        if failure is None:
            failure = await self._load(deadline)
        seconds = round(self._clock.now() - started, 6)
        if failure is None:
            self._fact("worker.process.complete", seconds=seconds)
            return None
        await self.stop()
        if self.is_unfit:
            self._fact("worker.process.unfit", seconds=seconds)
        else:
            self._fact("worker.process.failed", seconds=seconds, error_type=failure.error_type)
        return failure

    @property
    def is_unfit(self) -> bool:
        """Whether it has ended since another process must begin anew in its place."""
        return self.has_exited_with(UNFIT)

    def has_exited_with(self, status: int) -> bool:
        """Whether it has ended, and in that way."""
        runtime = self._runtime
        return runtime is not None and runtime.has_exited and runtime.exited.result() == status

    async def hold(self, program: Program, *, launcher: Launcher, deadline: float) -> bool:
        """Starts it without any code of the developer's; :meth:`start` then loads that.

        Returns:
            Whether it waits for its code now; otherwise it is stopped.
        """
        failure = await self._launch(program, launcher)
        if failure is None and not self._is_stopped:  # which somebody may have wanted meanwhile
            runtime = self._started()
            api = _private(runtime)
            await wait_first(self._clock, deadline, api.held, runtime.exited)
            if api.held.done() and not runtime.has_exited:
                self._fact("worker.process.held", pid=runtime.pid)
                return True
        await self.stop()
        return False

    def assign(self, *, generation: int, edit: Edit | None) -> None:
        """Says which version of the code a process that was held is for."""
        self.generation, self.edit = generation, edit

    async def _launch(self, program: Program, launcher: Launcher) -> Failure | None:
        try:
            self._runtime = await RuntimeProcess.start(
                program.argv,
                launcher=launcher,
                environment=program.variables,
                directory=program.folder,
                on_line=self._line,
                make_api=PrivateApi,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return Failure("Runtime.InvalidEntrypoint", f"fork/exec {program.argv[0]}: {reason}")
        return None

    async def _load(self, deadline: float) -> Failure | None:
        runtime = self._started()
        api = _private(runtime)
        self._fact("worker.process.started", pid=runtime.pid)
        started = self._clock.now()
        api.release(wait_for_debugger=await self._let_debuggers_in(runtime, deadline))
        await self._patience.wait(deadline, api.initialized, api.init_error, runtime.exited)
        if api.initialized.done() and not runtime.has_exited:
            return None
        return self._init_failure(runtime, seconds=self._clock.now() - started)

    async def _let_debuggers_in(self, runtime: RuntimeProcess, deadline: float) -> bool:
        """Leads debuggers to the process; whether one has been waiting for it."""
        if self._door is None:
            return False
        held = _private(runtime).held
        await wait_first(self._clock, deadline, held, runtime.exited)
        self._debug_port = held.result().debug_port if held.done() else 0
        if self._debug_port == 0:
            return False
        is_awaited = self._door.is_awaited
        self._door.lead_to(self._debug_port)
        return is_awaited

    async def idle(self, deadline: float, *others: asyncio.Future[Any]) -> None:
        """Returns when it waits for an event, has ended, or one of ``others`` or time is over."""
        runtime = self._started()
        await self._patience.wait(deadline, runtime.api.when_idle(), runtime.exited, *others)

    async def free(self, deadline: float) -> None:
        """Returns when it runs nothing, or ``deadline`` has come."""
        if self._free is not None:
            await self._patience.wait(deadline, self._free)

    def withdraw(self, reason: str) -> None:
        """Gives up what it runs, if it runs something; see :meth:`handle`."""
        if self._withdrawn is not None and not self._withdrawn.done():
            self._withdrawn.set_result(reason)

    async def handle(
        self, event: Event, *, deadline: float, withdrawn: asyncio.Future[str]
    ) -> Answer | Failure | None:
        """Runs the handler on ``event``; the process must be idle.

        Returns:
            What the handler answered; why it cannot answer any more, as the process has ended or
            ``deadline`` has come; or None if ``withdrawn`` was done first.
        """
        runtime = self._started()
        self._request_id, self._withdrawn = event.request_id, withdrawn
        self._free = asyncio.get_running_loop().create_future()
        try:
            posted = runtime.api.offer(event)
            await self._patience.wait(deadline, posted, runtime.exited, withdrawn)
            if posted.done():
                return posted.result()
            if runtime.has_exited:
                return Failure("Runtime.ExitError", describe_exit(runtime.exited.result()))
            if withdrawn.done():
                return None
            return Failure(
                "Sandbox.Timedout", "the handler did not return in time", is_timeout=True
            )
        finally:
            self._withdrawn = None
            self._free.set_result(None)

    async def stop(self) -> None:
        """Ends the process and whatever it started; one that is just starting ends when it has."""
        self._is_stopped = True
        if self._door is not None:
            self._door.leave(self._debug_port)
        if self._runtime is not None:
            await self._runtime.stop()

    def _started(self) -> RuntimeProcess:
        if self._runtime is None:
            raise RuntimeError("the process was not started")
        return self._runtime

    def _init_failure(self, runtime: RuntimeProcess, *, seconds: float) -> Failure:
        if runtime.api.init_error.done():
            posted = runtime.api.init_error.result()
            return Failure(posted.error_type, "", posted=posted)
        if runtime.has_exited:
            return Failure("Runtime.ExitError", describe_exit(runtime.exited.result()))
        return Failure(
            "Sandbox.Timedout", f"the handler was not loaded in {seconds:.1f} s", is_timeout=True
        )

    def _line(self, stream: Stream, line: str) -> None:
        if self._door is not None and _OF_INSPECTOR.match(line):
            return  # it names the port behind the door
        self._fact("worker.log", request_id=self._request_id, stream=stream, line=line)

    def _fact(self, kind: str, **data: object) -> None:
        self._journal.record(
            kind,
            source=SOURCE,
            at=self._clock.now(),
            worker_id=self._worker_id,
            generation=self.generation,
            **data,
        )


def python_client() -> Path:
    """The file of the Python runtime client; it is run, never imported."""
    return client_path(CLIENT)


def _private(runtime: RuntimeProcess) -> PrivateApi:
    assert isinstance(runtime.api, PrivateApi)  # as it was made by _launch
    return runtime.api
