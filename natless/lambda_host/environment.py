"""One execution environment: a runtime that is initialized, used, and started anew when it breaks.

::

    new ──init, 10 s──▶ idle ──▶ busy ──▶ answered ──next──▶ idle
              │                    │          │
              └──failed──▶ empty ◀─┴──────────┘ timeout, exit
                             │
                             └── the next invocation initializes it again, inside its own time

A broken environment keeps its name and its log stream, as Lambda does when it resets one (AWS
Lambda developer guide, "Lambda execution environment lifecycle"); the process and its Runtime API
are new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from natless.journal import Journal
from natless.lambda_host import platform_log
from natless.lambda_host.clock import Clock, wait_first
from natless.lambda_host.environment_log import EnvironmentLog, RecordListener
from natless.lambda_host.invocation import Failure, Invocation
from natless.lambda_host.launcher import Launcher
from natless.lambda_host.runtime_process import RuntimeProcess, describe_exit
from natless.lambda_host.runtime_session import Answer, Event
from natless.lambda_host.spec import VERSION, FunctionSpec, InvokeResult
from natless.lambda_host.variables import log_stream_name, standard_variables


@dataclass(frozen=True, slots=True)
class HostBudgets:
    """The waits of an execution environment, in seconds.

    Attributes:
        init: how long a runtime may take until its first ``next`` (AWS Lambda developer guide:
            10 s for on-demand functions). Exceeded, it is tried once more inside the invocation.
        settle: how long a caller waits for an environment that has answered and is about to be
            idle, before another one is started for it.
    """

    init: float = 10.0
    settle: float = 0.05


class ExecutionEnvironment:
    """Serves one invocation at a time; the owner must :meth:`close` it.

    Attributes:
        worker_id: 32 characters, the end of its log stream's name; how bridges call it.
        has_answered: whether the current invocation has its answer and only the runtime's next
            ``next`` is missing.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        launcher: Launcher,
        journal: Journal,
        clock: Clock,
        budgets: HostBudgets,
        new_id: Callable[[], str],
        on_record: RecordListener,
    ) -> None:
        self._spec = spec
        self._launcher = launcher
        self._clock = clock
        self._budgets = budgets
        self._new_id = new_id
        self._log_stream = log_stream_name(clock.wall(), new_id=new_id)
        self.worker_id = self._log_stream[-32:]
        self.has_answered = False
        self._log = EnvironmentLog(
            journal,
            clock=clock,
            function=spec.name,
            worker_id=self.worker_id,
            on_record=on_record,
        )
        self._is_new = True
        self._process: RuntimeProcess | None = None

    async def serve(self, invocation: Invocation) -> None:
        """Brings ``invocation.result`` about; returns when the environment can take another."""
        self._log.current = invocation
        self.has_answered = False
        try:
            await self._serve(invocation)
            invocation.finish()
        finally:
            self._log.current = None

    def tell_lost(self, invocation: Invocation) -> None:
        """Records that nobody will answer ``invocation``, as everything is being stopped."""
        seconds = round(self._clock.now() - invocation.started, 6)
        self._log.fact(
            "lambda.invocation.failed",
            request_id=invocation.request_id,
            seconds=seconds,
            error_type="Stopped",
        )

    async def close(self) -> None:
        """Ends the runtime."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    # -- one invocation ----------------------------------------------------------------------

    async def _serve(self, invocation: Invocation) -> None:
        init_duration = await self._initialize_new() if self._is_new else None
        self._log.platform(platform_log.start_line(invocation.request_id))
        self._log.fact("lambda.invocation.started", request_id=invocation.request_id)
        started = self._clock.now()
        failure = await self._run(invocation, started + self._spec.timeout)
        duration = self._clock.now() - started
        peak = self._process.peak_memory_bytes() if self._process else None
        await self._end(invocation, failure)
        self._log.platform(
            platform_log.report_line(
                invocation.request_id,
                duration=duration,
                memory=self._spec.memory,
                peak_bytes=peak,
                init_duration=init_duration,
                status=_status(failure),
                error_type="" if failure is None or failure.is_timeout else failure.error_type,
            )
        )

    async def _initialize_new(self) -> float | None:
        """The init phase of a new environment: its seconds, or None when it failed."""
        self._is_new = False
        before = self._clock.now()
        failure = await self._initialize("init", before + self._budgets.init)
        return None if failure else self._clock.now() - before

    async def _run(self, invocation: Invocation, deadline: float) -> Failure | None:
        """From START until the runtime is idle again; otherwise what broke it."""
        if self._process is None or self._process.has_exited:
            await self.close()
            failure = await self._initialize("invoke", deadline)
            if failure is not None:
                self._answer(invocation, failure.answer_for(invocation.request_id))
                return failure
        process = self._running()
        posted = process.api.offer(self._event(invocation, deadline))
        await wait_first(self._clock, deadline, posted, process.exited)
        if not posted.done():
            failure = self._silence(process)
            self._answer(invocation, failure.answer_for(invocation.request_id))
            return failure
        self._answer(invocation, posted.result())
        await wait_first(self._clock, deadline, process.api.when_idle(), process.exited)
        is_fit = process.api.is_idle and not process.has_exited
        return None if is_fit else self._silence(process)

    async def _end(self, invocation: Invocation, failure: Failure | None) -> None:
        if failure is not None and failure.is_timeout:
            self._log.platform(
                platform_log.timeout_line(
                    invocation.request_id, wall=self._clock.wall(), timeout=self._spec.timeout
                )
            )
        if failure is not None:
            await self._reset(failure.error_type)
        else:
            await self._running().output_settled()
        self._log.platform(platform_log.end_line(invocation.request_id))

    def _running(self) -> RuntimeProcess:
        if self._process is None:
            raise RuntimeError("an initialized environment has no process")
        return self._process

    def _silence(self, process: RuntimeProcess) -> Failure:
        """Why nothing came any more: the runtime is gone, or time is."""
        if process.has_exited:
            return Failure("Runtime.ExitError", describe_exit(process.exited.result()))
        message = platform_log.timeout_message(self._spec.timeout)
        return Failure("Sandbox.Timedout", message, is_timeout=True)

    def _answer(self, invocation: Invocation, answer: Answer) -> None:
        result = InvokeResult(
            status=200,
            payload=answer.body,
            function_error="Unhandled" if answer.is_error else None,
            request_id=invocation.request_id,
            executed_version=VERSION,
            log_tail=b"",
            started=invocation.started,
            finished=self._clock.now(),
        )
        self.has_answered = True
        invocation.answer(result)
        self._log.fact(
            "lambda.invocation.failed" if answer.is_error else "lambda.invocation.complete",
            request_id=invocation.request_id,
            seconds=round(result.duration, 6),
            bytes=len(answer.body),
            **({"error_type": answer.error_type} if answer.is_error else {}),
        )

    def _event(self, invocation: Invocation, deadline: float) -> Event:
        wall = self._clock.wall()
        deadline_wall = wall + (deadline - self._clock.now())
        root, parent = self._new_id()[:24], self._new_id()[:16]
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline_wall * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._spec.arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(wall):08x}-{root};Parent={parent};Sampled=0",
            "Lambda-Runtime-Client-Context": invocation.client_context or "",
            "Lambda-Runtime-Invocation-Id": self._new_id(),
        }
        return Event(invocation.request_id, headers, invocation.payload)

    # -- the runtime -------------------------------------------------------------------------

    async def _initialize(self, phase: str, deadline: float) -> Failure | None:
        """Starts the runtime and waits until it asks for an event; None when it did."""
        started = self._clock.now()
        failure = await self._start(phase)
        if failure is None:
            process = self._running()
            if await process.initialized(self._clock, deadline):
                seconds = round(self._clock.now() - started, 6)
                self._log.fact("lambda.environment.ready", phase=phase, seconds=seconds)
                return None
            failure = self._init_failure(process)
        duration = self._clock.now() - started
        await self._reset(failure.error_type)
        self._log.platform(
            platform_log.init_report_line(
                duration,
                phase=phase,
                status=_status(failure),
                error_type="" if failure.is_timeout else failure.error_type,
            )
        )
        return failure

    async def _start(self, phase: str) -> Failure | None:
        try:
            self._process = await RuntimeProcess.start(
                self._spec.bootstrap,
                launcher=self._launcher,
                environment=standard_variables(self._spec, log_stream=self._log_stream),
                directory=self._spec.task_root,
                on_line=self._log.line,
            )
        except OSError as error:
            return self._not_started(error)
        self._log.fact("lambda.environment.started", phase=phase, pid=self._process.pid)
        return None

    def _init_failure(self, process: RuntimeProcess) -> Failure:
        if process.api.init_error.done():
            posted = process.api.init_error.result()
            return Failure(posted.error_type, "", posted=posted)
        return self._silence(process)

    def _not_started(self, error: OSError) -> Failure:
        reason = (error.strerror or str(error)).lower()
        root = self._spec.task_root
        if not root.is_dir():
            return Failure("Runtime.InvalidWorkingDir", f"chdir {root}: {reason}")
        return Failure(
            "Runtime.InvalidEntrypoint", f"fork/exec {self._spec.bootstrap[0]}: {reason}"
        )

    async def _reset(self, reason: str) -> None:
        self._log.fact("lambda.environment.reset", reason=reason)
        await self.close()


def _status(failure: Failure | None) -> str:
    if failure is None:
        return ""
    return "timeout" if failure.is_timeout else "error"
