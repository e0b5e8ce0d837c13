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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from natless.journal import Journal
from natless.lambda_host.clock import Clock, SystemClock, wait_first
from natless.lambda_host.function_name import FunctionName
from natless.lambda_host.host import InvokeResult, LambdaHost
from natless.lambda_host.refusal import not_found, throttled
from natless.lambda_host.spec import VERSION

SOURCE = "lambda"


@dataclass(frozen=True, slots=True)
class EventBudgets:
    """The waits of asynchronous invocations, in seconds, and how many there may be.

    Attributes:
        retries: the pause before each further attempt when the function failed.
        throttle_first: the pause after an attempt found no free environment; it doubles.
        throttle_max: the longest such pause.
        throttle_total: how long an event may be throttled until it is dropped.
        queued_count: events that may wait or run at once; more are refused with 429.
    """

    retries: tuple[float, ...] = (60.0, 120.0)
    throttle_first: float = 1.0
    throttle_max: float = 300.0
    throttle_total: float = 6 * 3600.0
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
        wants_tail: whether the end of the log is wanted.
        title: how a log may call it, such as ``GET /orders``; empty for the plain door.
    """

    host: LambdaHost
    payload: bytes
    via: str
    request_id: str
    client_context: str | None = None
    wants_tail: bool = False
    title: str = ""


class LambdaService:
    """Finds functions and calls them. Use it as an async context manager.

    The hosts belong to the caller, who must leave them after this one.

    Attributes:
        functions: the hosts by name; one may be exchanged for another, which takes what comes.
        urls: where functions can be called by HTTP, by name; their owner fills it in.
    """

    def __init__(
        self,
        hosts: Iterable[LambdaHost],
        *,
        journal: Journal,
        clock: Clock | None = None,
        budgets: EventBudgets | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.functions: dict[str, LambdaHost] = {host.spec.name: host for host in hosts}
        self.urls: dict[str, str] = {}
        self.new_id = new_id
        self._journal = journal
        self._clock = clock or SystemClock()
        self._budgets = budgets or EventBudgets()
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

        Code that is being developed often holds the ARN that the function has on AWS.

        Raises:
            Refusal: there is no such function or version.
        """
        qualifier = qualifier or name.qualifier
        host = self.functions.get(name.name)
        if host is None or qualifier not in ("", VERSION):
            some = host or next(iter(self.functions.values()), None)
            prefix = some.spec.arn.rpartition(":")[0] + ":" if some is not None else ""
            raise not_found(f"{prefix}{name.name}" + (f":{qualifier}" if qualifier else ""))
        return host

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
            bytes=len(result.payload),
            note=note,
        )

    async def invoke(self, call: Call, *, attempt: int = 1) -> InvokeResult:
        """Runs the function once; both facts are recorded, the status is the result's own."""
        self.tell_received(call, attempt=attempt)
        result = await self.run(call)
        self.tell_answered(call, result, status=result.status)
        return result

    async def run(self, call: Call) -> InvokeResult:
        """Runs the function once and records nothing."""
        return await call.host.invoke(
            call.payload,
            client_context=call.client_context,
            log_tail=call.wants_tail,
            request_id=call.request_id,
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
        budgets = self._budgets
        pauses, attempt = iter(budgets.retries), 1
        throttle, give_up = budgets.throttle_first, self._clock.now() + budgets.throttle_total
        while True:
            result = await self.invoke(call, attempt=attempt)
            if result.status == 200 and result.function_error is None:
                return
            if result.status == 429 and self._clock.now() < give_up:
                pause: float | None = throttle
                throttle = min(2 * throttle, budgets.throttle_max)
            else:
                pause = next(pauses, None) if result.status == 200 else None
                attempt += 1
            if pause is None:
                self._fact("lambda.event.dropped", call, attempts=attempt - 1)
                return
            self._fact("lambda.event.postponed", call, seconds=pause, attempt=attempt)
            await wait_first(self._clock, self._clock.now() + pause)

    def _fact(self, kind: str, call: Call, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        self._journal.record(
            kind,
            source=SOURCE,
            at=self._clock.now(),
            function=call.host.spec.name,
            request_id=call.request_id,
            **data,
        )
