"""A function that can be invoked: its execution environments and who gets which.

::

    async with LambdaHost(spec, launcher=HostLauncher(), journal=journal) as host:
        result = await host.invoke(b'{"name": "world"}')
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from event_protocol.phases import InvocationRecord
from natless.journal import Journal
from natless.lambda_host.budgets import HostBudgets
from natless.lambda_host.clock import Clock, SystemClock, Timer, wait_first
from natless.lambda_host.environment import ExecutionEnvironment
from natless.lambda_host.environment_log import RecordListener
from natless.lambda_host.invocation import Invocation
from natless.lambda_host.launcher import HostLauncher, Launcher, Process
from natless.lambda_host.patience import IsDebugged
from natless.lambda_host.response_stream import ResponseSink, StreamLimits
from natless.lambda_host.spec import FunctionSpec, InvokeResult

__all__ = [
    "FunctionSpec",
    "HostBudgets",
    "HostLauncher",
    "InvokeResult",
    "LambdaHost",
    "Launcher",
    "Process",
]

MAX_REQUEST_BYTES = 6 * 1024 * 1024


class LambdaHost:
    """Runs one function, with up to ``concurrency`` execution environments at once.

    Environments are made on demand and reused, the most recently used first. An invocation that
    finds all of them busy is throttled, as by reserved concurrency.

    The time of an invocation does not run while ``is_debugged`` says so.

    Attributes:
        spec: the function.
        concurrency: how many environments there may be.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        launcher: Launcher,
        journal: Journal,
        concurrency: int = 1,
        clock: Clock | None = None,
        budgets: HostBudgets | None = None,
        limits: StreamLimits | None = None,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        is_debugged: IsDebugged | None = None,
    ) -> None:
        if concurrency < 0:
            raise ValueError("concurrency is at least 0, which throttles every call")
        self.spec = spec
        self._launcher = launcher
        self._journal = journal
        self.concurrency = concurrency
        self._clock = clock or SystemClock()
        self._budgets = budgets or HostBudgets()
        self._limits = limits or StreamLimits()
        self._new_id = new_id
        self._is_debugged = is_debugged
        self._listeners: list[RecordListener] = []
        self._environments: list[ExecutionEnvironment] = []
        self._idle: list[ExecutionEnvironment] = []
        self._serving: dict[asyncio.Task[None], ExecutionEnvironment] = {}
        self._retired: set[ExecutionEnvironment] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._expiries: dict[ExecutionEnvironment, Timer] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._serving:
            task.cancel()
        for environment in self._idle:
            self._keep(environment)
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)
        rest = {*self._environments, *self._retired}
        await asyncio.gather(*(environment.close() for environment in rest))
        self._environments.clear()
        self._retired.clear()
        self._idle.clear()

    @property
    def worker_ids(self) -> tuple[str, ...]:
        """The names of the environments that exist."""
        return tuple(environment.worker_id for environment in self._environments)

    def on_record(self, listener: RecordListener) -> Callable[[], None]:
        """Calls ``listener`` with every measurement that a guest writes into its log.

        Returns:
            What ends that.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def invoke(
        self,
        payload: bytes,
        *,
        client_context: str | None = None,
        headers: Mapping[str, str] | None = None,
        log_tail: bool = False,
        request_id: str | None = None,
        sink: ResponseSink | None = None,
    ) -> InvokeResult:
        """Runs the function once with ``payload``, as a synchronous ``Invoke`` does.

        The function goes on when the caller is cancelled, as on AWS.

        Args:
            payload: the event, bytes of JSON; handed to the runtime as they are.
            client_context: JSON text that the runtime gets as its client context.
            headers: further headers for the runtime, such as ``Lambda-Runtime-Trace-Id``.
            log_tail: wait until the environment is idle again and bring the end of its log.
            request_id: its id, if the caller has one already; a retry has that of the first try.
            sink: takes the response as it comes, if the runtime streams it; without one it is
                collected.

        Returns:
            The answer, also when the function failed, was throttled (429) or the payload is too
            large (413).
        """
        started = self._clock.now()
        request_id = request_id or str(uuid.UUID(self._new_id()))
        if len(payload) > MAX_REQUEST_BYTES:
            return self._refuse(
                413,
                "RequestTooLargeException",
                f"{len(payload)} byte payload is too large for the RequestResponse invocation "
                f"type (limit {MAX_REQUEST_BYTES} bytes)",
                request_id=request_id,
                started=started,
            )
        environment = await self._take()
        if environment is None:
            return self._refuse(
                429,
                "TooManyRequestsException",
                "Rate Exceeded.",
                request_id=request_id,
                started=started,
            )
        invocation = Invocation(
            request_id=request_id,
            payload=payload,
            headers={"Lambda-Runtime-Client-Context": client_context or "", **(headers or {})},
            wants_tail=log_tail,
            started=started,
            result=asyncio.get_running_loop().create_future(),
            sink=sink,
        )
        task = asyncio.create_task(self._serve(environment, invocation))
        self._serving[task] = environment
        task.add_done_callback(self._serving.pop)
        return await invocation.result

    def renew(self) -> None:
        """Lets the next call have a new environment, as after a change of the function's settings.

        Who is busy answers first. The old ones do not count any more.
        """
        self._retired |= set(self._environments)
        self._environments.clear()
        for environment in self._idle:
            self._keep(environment)
            self._end_retired(environment)
        self._idle.clear()

    def _end_retired(self, environment: ExecutionEnvironment) -> None:
        async def end() -> None:
            await environment.close()
            self._retired.discard(environment)

        task = asyncio.create_task(end())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def settled(self) -> None:
        """Returns once no environment is busy and what they printed is in the journal."""
        while self._serving:
            await asyncio.wait(self._serving)

    async def _serve(self, environment: ExecutionEnvironment, invocation: Invocation) -> None:
        try:
            await environment.serve(invocation)
        except asyncio.CancelledError:
            if not invocation.result.done():
                environment.tell_lost(invocation)
                invocation.result.cancel()
            raise
        except Exception as error:  # the caller learns of it; the environment is given up
            if environment in self._environments:
                self._environments.remove(environment)
            self._retired.discard(environment)
            await environment.close()
            if not invocation.result.done():
                invocation.result.set_exception(error)
            return
        if environment in self._retired:
            self._end_retired(environment)
        else:
            self._idle.append(environment)
            self._expire_later(environment)

    def _expire_later(self, environment: ExecutionEnvironment) -> None:
        """Ends an environment that nobody has taken until its time has come."""

        def expire() -> None:
            del self._expiries[environment]
            self._idle.remove(environment)
            self._environments.remove(environment)
            self._retired.add(environment)
            self._end_retired(environment)

        if (idle := self._budgets.idle) is not None:
            when = self._clock.now() + idle
            self._expiries[environment] = self._clock.call_at(when, expire)

    def _keep(self, environment: ExecutionEnvironment) -> None:
        """It is taken, or ended otherwise."""
        if (timer := self._expiries.pop(environment, None)) is not None:
            timer.cancel()

    async def _take(self) -> ExecutionEnvironment | None:
        """An environment for the caller alone; None when there is none to be had."""
        patience = self._clock.now() + self._budgets.settle
        while not self._idle:
            settling = [
                task
                for task, environment in self._serving.items()
                # A task that is done is taken off the list only at the loop's next turn; waiting
                # for it would never give the loop that turn.
                if environment.has_answered and not task.done()
            ]
            is_full = len(self._environments) >= self.concurrency
            if settling and (is_full or self._clock.now() < patience):
                await wait_first(self._clock, None if is_full else patience, *settling)
            elif is_full:
                return None
            else:
                return self._create()
        environment = self._idle.pop()
        self._keep(environment)
        return environment

    def _create(self) -> ExecutionEnvironment:
        environment = ExecutionEnvironment(
            self.spec,
            launcher=self._launcher,
            journal=self._journal,
            clock=self._clock,
            budgets=self._budgets,
            limits=self._limits,
            new_id=self._new_id,
            on_record=self._tell,
            is_debugged=self._is_debugged,
        )
        self._environments.append(environment)
        return environment

    def _tell(self, record: InvocationRecord) -> None:
        for listener in self._listeners:
            listener(record)

    def _refuse(
        self, status: int, error_type: str, message: str, *, request_id: str, started: float
    ) -> InvokeResult:
        members = {"Type": "User", "message": message, "__type": error_type}
        return InvokeResult(
            status=status,
            payload=json.dumps(members, separators=(",", ":")).encode(),
            function_error=None,
            request_id=request_id,
            executed_version="",
            log_tail=b"",
            started=started,
            finished=self._clock.now(),
        )
