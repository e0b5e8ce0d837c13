"""Functions by their names, called synchronously or by an event that is kept until it is done.

::

    Invoke API ──┐                      ┌─▶ LambdaHost "orders"
                 ├─▶ LambdaService ─────┤
    function URL ┘    │        ▲        └─▶ LambdaHost "mail"
                      └─ Event ┘ up to two retries, a minute and two minutes later

Retries and their pauses: AWS Lambda developer guide, "How Lambda handles errors and retries with
asynchronous invocation". What an event is retried with is the same request id.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from natless.journal import Journal
from natless.lambda_host.clock import Clock, SystemClock, wait_first
from natless.lambda_host.destinations import (
    Condition,
    EventConfig,
    append_record,
    encode_record,
)
from natless.lambda_host.function_name import FunctionName
from natless.lambda_host.host import InvokeResult, LambdaHost
from natless.lambda_host.refusal import Refusal, not_found, throttled
from natless.lambda_host.response_stream import ResponseSink
from natless.lambda_host.spec import VERSION

SOURCE = "lambda"
EMULATED_NAME = "function"
MAX_DEPTH = 16  # AWS Lambda developer guide, "Recursive loop detection"


@dataclass(frozen=True, slots=True)
class EventBudgets:
    """The waits of asynchronous invocations, in seconds, and how many there may be.

    Attributes:
        retries: the pause before each further attempt when the function failed.
        throttle_first: the pause after an attempt found no free environment; it doubles.
        throttle_max: the longest such pause.
        event_age: after how long an event is dropped, whatever its function allows.
        queued_count: events that may wait or run at once; more are refused with 429.
    """

    retries: tuple[float, ...] = (60.0, 120.0)
    throttle_first: float = 1.0
    throttle_max: float = 300.0
    event_age: float = 6 * 3600.0
    queued_count: int = 1000


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way in.

    Attributes:
        host: the function.
        payload: the event, JSON.
        via: the door it came through: ``invoke``, ``event`` or ``url``.
        request_id: its id.
        client_context: JSON text for the runtime, or None.
        headers: further headers for the runtime.
        wants_tail: whether the end of the log is wanted.
        title: how a log may call it, such as ``GET /orders``; empty for the plain door.
        depth: how many destinations led to it.
    """

    host: LambdaHost
    payload: bytes
    via: str
    request_id: str
    client_context: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wants_tail: bool = False
    title: str = ""
    depth: int = 0


class LambdaService:
    """Finds functions and calls them. Use it as an async context manager.

    The hosts belong to the caller, who must leave them after this one. How a function's events are
    treated may differ by its name.

    Attributes:
        functions: the hosts by name; one may be exchanged for another, which takes what comes.
        urls: where functions can be called by HTTP, by name; their owner fills it in.
        clock: whose time its calls carry.
    """

    def __init__(
        self,
        hosts: Iterable[LambdaHost],
        *,
        journal: Journal,
        clock: Clock | None = None,
        budgets: EventBudgets | None = None,
        configs: Mapping[str, EventConfig] | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.functions: dict[str, LambdaHost] = {host.spec.name: host for host in hosts}
        self.urls: dict[str, str] = {}
        self.new_id = new_id
        self._journal = journal
        self.clock = clock or SystemClock()
        self._budgets = budgets or EventBudgets()
        self._configs = dict(configs or {})
        self._events: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._events:
            task.cancel()
        await asyncio.gather(*self._events, return_exceptions=True)

    def find(self, name: FunctionName, *, qualifier: str = "") -> LambdaHost:
        """The function that is meant, whatever account and region its name says.

        Code that is being developed often holds the ARN that the function has on AWS. Where there
        is one function only, ``function`` means it, as for AWS's runtime interface emulator.

        Raises:
            Refusal: there is no such function, version or alias.
        """
        qualifier = qualifier or name.qualifier
        host = self.functions.get(name.name)
        if host is None and name.name == EMULATED_NAME and len(self.functions) == 1:
            host = next(iter(self.functions.values()))
        if host is None or qualifier not in ("", VERSION, *host.spec.aliases):
            some = host or next(iter(self.functions.values()), None)
            prefix = some.spec.arn.rpartition(":")[0] + ":" if some is not None else ""
            raise not_found(f"{prefix}{name.name}" + (f":{qualifier}" if qualifier else ""))
        return host

    def event_config(self, name: str) -> EventConfig:
        """How a function's asynchronous invocations are treated."""
        return self._configs.get(name, EventConfig())

    def tell_received(self, call: Call, *, attempt: int = 1) -> None:
        """Records that a call came; whoever takes it must :meth:`tell_answered`."""
        self._fact(
            "lambda.request.received",
            call,
            via=call.via,
            title=call.title,
            attempt=attempt,
            bytes=len(call.payload),
        )

    def tell_answered(
        self, call: Call, result: InvokeResult, *, status: int, note: str = ""
    ) -> None:
        """Records what its caller got.

        Args:
            call: which.
            result: what came out of the function.
            status: the HTTP status that was made of it.
            note: why that is not the function's own, if so.
        """
        self._fact(
            "lambda.request.answered",
            call,
            status=status,
            function_error=result.function_error or "",
            seconds=round(result.duration, 6),
            bytes=len(result.payload) + (result.streamed_bytes or 0),
            note=note,
            **({} if result.frozen is None else {"frozen": round(result.frozen, 6)}),
        )

    async def invoke(self, call: Call, *, attempt: int = 1) -> InvokeResult:
        """Runs the function once; both facts are recorded, the status is the result's own."""
        self.tell_received(call, attempt=attempt)
        result = await self.run(call)
        self.tell_answered(call, result, status=result.status)
        return result

    async def run(self, call: Call, *, sink: ResponseSink | None = None) -> InvokeResult:
        """Runs the function once and records nothing.

        Args:
            call: which function, with what.
            sink: takes a streamed response as it comes.
        """
        return await call.host.invoke(
            call.payload,
            client_context=call.client_context,
            headers=call.headers,
            log_tail=call.wants_tail,
            request_id=call.request_id,
            sink=sink,
        )

    def enqueue(self, call: Call) -> None:
        """Takes an event that nobody waits for.

        Raises:
            Refusal: too many are waiting already.
        """
        if len(self._events) >= self._budgets.queued_count:
            raise throttled()
        task = asyncio.create_task(self._deliver(call))
        self._events.add(task)
        task.add_done_callback(self._events.discard)

    async def _deliver(self, call: Call) -> None:
        """Tries until the function has done it, or AWS would give up too."""
        config = self.event_config(call.host.spec.name)
        pauses, runs = iter(self._budgets.retries[: config.retries]), 0
        throttle = self._budgets.throttle_first
        give_up = self.clock.now() + min(config.event_age, self._budgets.event_age)
        result: InvokeResult | None = None
        while True:
            tried = await self.invoke(call, attempt=runs + 1)
            if tried.status == 429:
                pause: float | None = throttle
                throttle = min(2 * throttle, self._budgets.throttle_max)
            else:
                result, runs = tried, runs + 1
                if tried.status == 200 and tried.function_error is None:
                    await self._conclude(call, Condition.SUCCESS, runs=runs, result=result)
                    return
                pause = next(pauses, None) if tried.status == 200 else None
            condition = Condition.RETRIES_EXHAUSTED
            if pause is not None and self.clock.now() + pause > give_up:
                condition, pause = Condition.EVENT_AGE_EXCEEDED, None
            if pause is None:
                self._fact("lambda.event.dropped", call, attempts=runs, condition=condition)
                await self._conclude(call, condition, runs=runs, result=result)
                return
            self._fact("lambda.event.postponed", call, seconds=pause, attempt=runs + 1)
            await wait_first(self.clock, self.clock.now() + pause)

    async def _conclude(
        self, call: Call, condition: Condition, *, runs: int, result: InvokeResult | None
    ) -> None:
        """Sends the record of an event to where its function's configuration says."""
        config = self.event_config(call.host.spec.name)
        if not (target := config.target(condition)):
            return
        record = encode_record(
            arn=call.host.spec.arn,
            request_id=call.request_id,
            payload=call.payload,
            condition=condition,
            invoke_count=runs,
            result=result,
            wall=self.clock.wall(),
        )
        try:
            if "/" in target:
                await asyncio.to_thread(append_record, Path(target), record)
            else:
                self._pass_on(call, target, record)
        except (OSError, ValueError, Refusal) as error:
            self._fact("lambda.destination.failed", call, target=target, reason=str(error))
        else:
            self._fact("lambda.destination.sent", call, target=target, condition=condition)

    def _pass_on(self, call: Call, target: str, record: bytes) -> None:
        """Hands a record to another function.

        Raises:
            Refusal: there is none of this name, or it has too many events.
            ValueError: it is no function, or functions call each other in a circle.
        """
        if call.depth >= MAX_DEPTH:
            raise ValueError(f"{MAX_DEPTH} functions in a row: a recursive loop, as AWS takes it")
        host = self.find(FunctionName.parse(target))
        request_id = self.new_id()
        self.enqueue(Call(host, record, via="event", request_id=request_id, depth=call.depth + 1))

    def _fact(self, kind: str, call: Call, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        self._journal.record(
            kind,
            source=SOURCE,
            at=self.clock.now(),
            function=call.host.spec.name,
            request_id=call.request_id,
            **data,
        )
