"""The processes of one execution environment, from their start to their end.

::

    extensions start ─▶ all registered ─▶ runtime starts ─▶ its first next ─▶ all extensions ready
                                                                                     │
          SIGKILL ◀─ SHUTDOWN to extensions ◀─ SIGTERM to the runtime ◀─ stop ◀── invocations

AWS Lambda developer guide, "Lambda execution environment lifecycle" and "Using the Lambda
Extensions API"; where these say nothing, the open core (aws-lambda-runtime-interface-emulator,
``internal/lambda/rapid``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from natless.lambda_host import platform_log
from natless.lambda_host.budgets import HostBudgets
from natless.lambda_host.clock import Clock, wait_first
from natless.lambda_host.environment_log import EnvironmentLog
from natless.lambda_host.extension_api import ExtensionApi
from natless.lambda_host.extension_session import (
    MAX_EXTENSIONS,
    ExtensionEvent,
    ExtensionState,
)
from natless.lambda_host.hosted_process import HostedProcess, describe_exit, describe_status
from natless.lambda_host.invocation import Failure
from natless.lambda_host.launcher import Launcher
from natless.lambda_host.response_stream import ResponseSink
from natless.lambda_host.runtime_api import RuntimeApi
from natless.lambda_host.runtime_session import Answer, Event
from natless.lambda_host.spec import FunctionSpec
from natless.lambda_host.variables import extension_variables


class Sandbox:
    """Starts an environment's processes, hands them events, freezes and ends them.

    Made by :meth:`open`; the owner must :meth:`stop` it.

    Attributes:
        ended: done when a process has ended that should not have.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        launcher: Launcher,
        clock: Clock,
        environment: Mapping[str, str],
        log: EnvironmentLog,
        budgets: HostBudgets,
        api: RuntimeApi,
        extensions: ExtensionApi,
    ) -> None:
        self._spec = spec
        self._launcher = launcher
        self._clock = clock
        self._environment = {**environment, "AWS_LAMBDA_RUNTIME_API": api.address}
        self._log = log
        self._budgets = budgets
        self._api = api
        self._extensions = extensions
        self._runtime: HostedProcess | None = None
        self._external: dict[str, HostedProcess] = {}
        self._first_exit: HostedProcess | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._frozen_since: float | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls,
        spec: FunctionSpec,
        *,
        launcher: Launcher,
        clock: Clock,
        environment: Mapping[str, str],
        log: EnvironmentLog,
        budgets: HostBudgets,
        stream_bytes: int,
    ) -> Sandbox:
        """A sandbox whose API listens and whose processes do not run yet."""
        extensions = ExtensionApi(spec)
        api = RuntimeApi(await launcher.listen(), extensions=extensions, stream_bytes=stream_bytes)
        try:
            await api.open()
        except BaseException:
            await api.close()
            raise
        return cls(
            spec,
            launcher=launcher,
            clock=clock,
            environment=environment,
            log=log,
            budgets=budgets,
            api=api,
            extensions=extensions,
        )

    # -- init --------------------------------------------------------------------------------

    async def initialize(
        self, deadline: float, *, on_started: Callable[[int], None]
    ) -> Failure | None:
        """Starts everything and waits until it asks for an event; None when it does.

        Args:
            deadline: monotonic seconds.
            on_started: is told the runtime's process id.
        """
        try:
            return (
                await self._start_extensions()
                or await self._await_registration(deadline)
                or await self._start_runtime(on_started)
                or await self._await_runtime(deadline)
                or await self._await_extensions(deadline)
            )
        finally:
            self._tell_extensions()

    async def _start_extensions(self) -> Failure | None:
        for path in list_extensions(self._spec.extensions):
            extension = self._extensions.registry.expect(path.name)
            try:
                if len(self._extensions.registry) > MAX_EXTENSIONS:
                    raise OSError(f"ErrTooManyExtensions: more than {MAX_EXTENSIONS}")
                process = await HostedProcess.start(
                    (str(path),),
                    launcher=self._launcher,
                    environment=extension_variables(self._environment),
                    directory=None,
                    on_line=partial(self._log.extension_line, extension=path.name),
                    clock=self._clock,
                )
            except OSError as error:
                extension.state = ExtensionState.LAUNCH_ERROR
                extension.error_type = _explain_launch(error)
                reason = (error.strerror or str(error)).lower()
                return Failure("Extension.LaunchError", f"fork/exec {path}: {reason}")
            self._external[path.name] = process
            self._watch(process)
        return None

    async def _await_registration(self, deadline: float) -> Failure | None:
        registry = self._extensions.registry
        registered = self._extensions.when(lambda: registry.has_registered)
        await wait_first(self._clock, deadline, registered, self.ended)
        return None if registered.done() and not self.has_ended else self.failure()

    async def _start_runtime(self, on_started: Callable[[int], None]) -> Failure | None:
        spec = self._spec
        try:
            self._runtime = await HostedProcess.start(
                spec.command,
                launcher=self._launcher,
                environment=self._environment,
                directory=spec.task_root,
                on_line=self._log.line,
                clock=self._clock,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if not spec.task_root.is_dir():
                return Failure("Runtime.InvalidWorkingDir", f"chdir {spec.task_root}: {reason}")
            return Failure("Runtime.InvalidEntrypoint", f"fork/exec {spec.command[0]}: {reason}")
        self._watch(self._runtime)
        on_started(self._runtime.pid)
        return None

    async def _await_runtime(self, deadline: float) -> Failure | None:
        api = self._api
        await wait_first(self._clock, deadline, api.initialized, api.init_error, self.ended)
        if api.init_error.done():
            posted = api.init_error.result()
            return Failure(posted.error_type, "", posted=posted)
        return None if api.initialized.done() and not self.has_ended else self.failure()

    async def _await_extensions(self, deadline: float) -> Failure | None:
        registry = self._extensions.registry
        registry.close_registration()
        ready = self._extensions.when(lambda: registry.is_ready)
        await wait_first(self._clock, deadline, ready, self.ended)
        return None if ready.done() and not self.has_ended else self.failure()

    def _tell_extensions(self) -> None:
        for each in self._extensions.registry:
            self._log.platform(
                platform_log.extension_line(
                    each.name,
                    state=str(each.state),
                    events=each.events,
                    error_type=each.error_type,
                )
            )

    # -- invocations -------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """Whether it is of no more use."""
        return self.ended.done() or any(each.has_exited for each in self._processes())

    @property
    def is_idle(self) -> bool:
        """Whether the runtime and all extensions wait for an event."""
        return self._api.is_idle and self._extensions.is_idle

    def offer(
        self, event: Event, *, deadline_ms: int, sink: ResponseSink | None
    ) -> asyncio.Future[Answer]:
        """Hands an event to the runtime and to the extensions; the future of its answer."""
        self._extensions.tell_invoke(event, deadline_ms=deadline_ms)
        return self._api.offer(event, sink=sink)

    async def idle(self, deadline: float) -> bool:
        """Waits until it :attr:`is_idle`, and says whether it is; no longer than its end."""
        await wait_first(self._clock, deadline, self._api.when_idle(), self.ended)
        others = self._extensions.when(lambda: self._extensions.is_idle)
        await wait_first(self._clock, deadline, others, self.ended)
        return self.is_idle and not self.has_ended

    def failure(self) -> Failure:
        """Why nothing came any more: a process is gone, or time is."""
        gone = self._first_exit or next((p for p in self._processes() if p.has_exited), None)
        if gone is None:
            message = platform_log.timeout_message(self._spec.timeout)
            return Failure("Sandbox.Timedout", message, is_timeout=True)
        status = gone.exited.result()
        if gone is self._runtime:
            return Failure("Runtime.ExitError", describe_exit(status))
        error_type = self._extensions.registry.fatal_error or "Extension.Crash"
        return Failure(error_type, describe_status(status))

    def peak_memory_bytes(self) -> int | None:
        """The most that the runtime ever took; None when it cannot be known."""
        return self._runtime.peak_memory_bytes() if self._runtime else None

    # -- freeze and thaw ---------------------------------------------------------------------

    def freeze(self) -> None:
        """Stops all processes until :meth:`thaw`; sockets stay as they are and know of nothing."""
        if self._frozen_since is None and not self.has_ended:
            self._frozen_since = self._clock.now()
            for process in self._processes():
                process.freeze()

    def thaw(self) -> float | None:
        """Lets all processes go on; for how many seconds they stood still, None if they did not."""
        since, self._frozen_since = self._frozen_since, None
        for process in self._processes():
            process.thaw()
        return None if since is None else self._clock.now() - since

    # -- the end -----------------------------------------------------------------------------

    async def stop(self, reason: str) -> None:
        """Ends all processes; returns when all is gone and read.

        It goes on when its caller is cancelled, and a later call waits for its end.

        Args:
            reason: what extensions are told: ``spindown``, ``timeout`` or ``failure``.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(reason))
        await asyncio.shield(self._stopping)

    async def _stop(self, reason: str) -> None:
        try:
            if len(self._extensions.registry) > 0:
                await self._say_goodbye(reason)
        finally:
            await asyncio.gather(*(process.stop() for process in self._processes()))
            await self._api.close()

    async def _say_goodbye(self, reason: str) -> None:
        """What is granted only where there are extensions: a moment to clean up."""
        self.thaw()
        budgets, started = self._budgets, self._clock.now()
        total = budgets.shutdown_external if self._external else budgets.shutdown_internal
        if self._runtime is not None and not self._runtime.has_exited:
            share = budgets.shutdown_runtime if self._external else total
            self._runtime.terminate()
            await wait_first(self._clock, started + share, self._runtime.exited)
            await self._runtime.stop()
        deadline = started + total
        wall = self._clock.wall() + deadline - self._clock.now()
        self._extensions.tell_shutdown(reason, deadline_ms=int(wall * 1000))
        informed = {
            each.name for each in self._extensions.registry.subscribers(ExtensionEvent.SHUTDOWN)
        }
        leaving = [each.exited for name, each in self._external.items() if name in informed]
        await asyncio.gather(
            *(each.stop() for name, each in self._external.items() if name not in informed)
        )
        if leaving:
            gone = asyncio.gather(*leaving, return_exceptions=True)
            await wait_first(self._clock, deadline, gone)

    def _processes(self) -> list[HostedProcess]:
        return [*self._external.values(), *([self._runtime] if self._runtime else [])]

    def _watch(self, process: HostedProcess) -> None:
        def note(_: asyncio.Task[int]) -> None:
            if self._stopping is None and not self.ended.done():
                self._first_exit = process
                self.ended.set_result(None)

        process.exited.add_done_callback(note)


def list_extensions(folder: Path | None) -> list[Path]:
    """The files that are started as extensions; none if there is no such folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path.absolute() for path in folder.iterdir() if not path.is_dir())


def _explain_launch(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "PermissionDenied"
    return "TooManyExtensions" if "TooMany" in str(error) else "UnknownError"
