"""One execution environment: a runtime that is initialized, used, and started anew when it breaks.

::

    new ──init, 10 s──▶ idle, frozen ──▶ busy ──▶ answered ──next──▶ idle, frozen
              │                           │          │
              └──failed──▶ empty ◀────────┴──────────┘ timeout, exit
                             │
                             └── the next invocation initializes it again, inside its own time

A broken environment keeps its name and its log stream, as Lambda does when it resets one (AWS
Lambda developer guide, "Lambda execution environment lifecycle"); the processes and their API are
new.
"""

from __future__ import annotations

from collections.abc import Callable

from natless.journal import Journal
from natless.lambda_host import platform_log
from natless.lambda_host.budgets import HostBudgets
from natless.lambda_host.clock import Clock
from natless.lambda_host.environment_log import EnvironmentLog, RecordListener
from natless.lambda_host.hosted_process import output_settled
from natless.lambda_host.invocation import Failure, Invocation
from natless.lambda_host.launcher import Launcher
from natless.lambda_host.patience import IsDebugged, Patience
from natless.lambda_host.response_stream import PacedSink, StreamLimits
from natless.lambda_host.runtime_session import Answer, Event
from natless.lambda_host.sandbox import Sandbox
from natless.lambda_host.spec import LONGEST, VERSION, FunctionSpec, InvokeResult
from natless.lambda_host.variables import log_stream_name, standard_variables


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
        limits: StreamLimits,
        new_id: Callable[[], str],
        on_record: RecordListener,
        is_debugged: IsDebugged | None = None,
    ) -> None:
        self._spec = spec
        self._launcher = launcher
        self._clock = clock
        self._budgets = budgets
        self._limits = limits
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
        self._patience = Patience(clock, is_debugged)
        self._is_new = True
        self._sandbox: Sandbox | None = None

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

    async def close(self, reason: str = "spindown") -> None:
        """Ends the processes; when that is cancelled, a later call waits for their end.

        Args:
            reason: what extensions are told.
        """
        if self._sandbox is not None:
            await self._sandbox.stop(reason)
            self._sandbox = None

    # -- one invocation ----------------------------------------------------------------------

    async def _serve(self, invocation: Invocation) -> None:
        init_duration = await self._initialize_new() if self._is_new else None
        invocation.frozen = self._thaw()
        self._log.platform(platform_log.start_line(invocation.request_id))
        self._log.fact("lambda.invocation.started", request_id=invocation.request_id)
        started = self._clock.now()
        failure = await self._run(invocation, started + self._spec.timeout)
        duration = self._clock.now() - started
        peak = self._sandbox.peak_memory_bytes() if self._sandbox else None
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
        self._freeze()

    async def _initialize_new(self) -> float | None:
        """The init phase of a new environment: its seconds, or None when it failed."""
        self._is_new = False
        before = self._clock.now()
        failure = await self._initialize("init", before + self._budgets.init)
        return None if failure else self._clock.now() - before

    async def _run(self, invocation: Invocation, deadline: float) -> Failure | None:
        """From START until everything is idle again; otherwise what broke it."""
        if self._sandbox is None or self._sandbox.has_ended:
            await self.close("failure")
            failure = await self._initialize("invoke", deadline)
            if failure is not None:
                self._answer(invocation, failure.answer_for(invocation.request_id))
                return failure
        sandbox = self._running()
        told = self._clock.now() + LONGEST if self._patience.is_endless else deadline
        wall_deadline = self._clock.wall() + told - self._clock.now()
        event = self._event(invocation, deadline_ms=int(wall_deadline * 1000))
        sink = None
        if invocation.sink is not None:
            sink = PacedSink(invocation.sink, clock=self._clock, limits=self._limits)
        posted = sandbox.offer(event, deadline_ms=int(wall_deadline * 1000), sink=sink)
        await self._patience.wait(deadline, posted, sandbox.ended)
        if not posted.done():
            failure = sandbox.failure()
            self._answer(invocation, failure.answer_for(invocation.request_id), sink=sink)
            return failure
        self._answer(invocation, posted.result(), sink=sink)
        deadline = self._patience.extend(deadline)
        return None if await sandbox.idle(deadline) else sandbox.failure()

    async def _end(self, invocation: Invocation, failure: Failure | None) -> None:
        if failure is not None and failure.is_timeout:
            self._log.platform(
                platform_log.timeout_line(
                    invocation.request_id, wall=self._clock.wall(), timeout=self._spec.timeout
                )
            )
        if failure is not None:
            await self._reset(failure)
        else:
            await output_settled()
        self._log.platform(platform_log.end_line(invocation.request_id))

    def _running(self) -> Sandbox:
        if self._sandbox is None:
            raise RuntimeError("an initialized environment has no processes")
        return self._sandbox

    def _answer(
        self, invocation: Invocation, answer: Answer, *, sink: PacedSink | None = None
    ) -> None:
        streamed = sink.streamed_bytes if sink is not None else None
        result = InvokeResult(
            status=200,
            payload=answer.body,
            function_error="Unhandled" if answer.is_error else None,
            request_id=invocation.request_id,
            executed_version=VERSION,
            log_tail=b"",
            started=invocation.started,
            finished=self._clock.now(),
            error_type=answer.error_type if answer.is_error else "",
            streamed_bytes=streamed,
            frozen=invocation.frozen,
        )
        if sink is not None:
            sink.close()
        self.has_answered = True
        invocation.answer(result)
        self._log.fact(
            "lambda.invocation.failed" if answer.is_error else "lambda.invocation.complete",
            request_id=invocation.request_id,
            seconds=round(result.duration, 6),
            bytes=len(answer.body) + (streamed or 0),
            **({"error_type": answer.error_type} if answer.is_error else {}),
            **({"is_streamed": True} if streamed is not None else {}),
        )

    def _event(self, invocation: Invocation, *, deadline_ms: int) -> Event:
        root, parent = self._new_id()[:24], self._new_id()[:16]
        wall = int(self._clock.wall())
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self._spec.arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{wall:08x}-{root};Parent={parent};Sampled=0",
            "Lambda-Runtime-Invocation-Id": self._new_id(),
            **invocation.headers,
        }
        return Event(invocation.request_id, headers, invocation.payload)

    # -- the processes -----------------------------------------------------------------------

    def _freeze(self) -> None:
        sandbox = self._sandbox
        if self._spec.freeze and sandbox is not None and sandbox.is_idle:
            sandbox.freeze()
            self._log.fact("lambda.environment.frozen")

    def _thaw(self) -> float | None:
        """For how many seconds nothing ran; None if it was not frozen."""
        seconds = self._sandbox.thaw() if self._sandbox is not None else None
        if seconds is not None:
            self._log.fact("lambda.environment.thawed", seconds=round(seconds, 6))
        return seconds

    async def _initialize(self, phase: str, deadline: float) -> Failure | None:
        """Starts the processes and waits until they ask for an event; None when they did."""
        started = self._clock.now()
        self._sandbox = sandbox = await Sandbox.open(
            self._spec,
            launcher=self._launcher,
            clock=self._clock,
            environment=standard_variables(self._spec, log_stream=self._log_stream),
            log=self._log,
            budgets=self._budgets,
            stream_bytes=self._limits.total_bytes,
        )
        failure = await sandbox.initialize(
            deadline, on_started=lambda pid: self._tell_started(phase, pid)
        )
        if failure is None:
            seconds = round(self._clock.now() - started, 6)
            self._log.fact("lambda.environment.ready", phase=phase, seconds=seconds)
            return None
        duration = self._clock.now() - started
        await self._reset(failure)
        self._log.platform(
            platform_log.init_report_line(
                duration,
                phase=phase,
                status=_status(failure),
                error_type="" if failure.is_timeout else failure.error_type,
            )
        )
        return failure

    def _tell_started(self, phase: str, pid: int) -> None:
        self._log.fact("lambda.environment.started", phase=phase, pid=pid)

    async def _reset(self, failure: Failure) -> None:
        self._log.fact("lambda.environment.reset", reason=failure.error_type)
        await self.close("timeout" if failure.is_timeout else "failure")


def _status(failure: Failure | None) -> str:
    if failure is None:
        return ""
    return "timeout" if failure.is_timeout else "error"
