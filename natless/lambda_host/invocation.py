"""One call on its way through a function: what was asked, and the promise of a result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from natless.lambda_host.output import Tail
from natless.lambda_host.response_stream import ResponseSink
from natless.lambda_host.runtime_session import Answer, platform_error
from natless.lambda_host.spec import InvokeResult


@dataclass(slots=True)
class Invocation:
    """One call.

    Attributes:
        request_id: its id.
        payload: the event.
        headers: what the runtime gets beside what every invocation has.
        wants_tail: whether the result is held back until its log is complete.
        started: monotonic seconds.
        result: what the caller waits for.
        sink: takes a streamed response as it comes; None collects it.
        tail: the end of the log so far.
        frozen: seconds for which its environment had been frozen; None if it had not.
    """

    request_id: str
    payload: bytes
    headers: Mapping[str, str]
    wants_tail: bool
    started: float
    result: asyncio.Future[InvokeResult]
    sink: ResponseSink | None = None
    tail: Tail = field(default_factory=Tail)
    frozen: float | None = None
    _held_back: InvokeResult | None = None

    def answer(self, result: InvokeResult) -> None:
        """The caller gets ``result``, at once or with the log."""
        if self.wants_tail:
            self._held_back = result
        elif not self.result.done():
            self.result.set_result(result)

    def finish(self) -> None:
        """The log is complete."""
        if self._held_back is not None and not self.result.done():
            self.result.set_result(replace(self._held_back, log_tail=bytes(self.tail)))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a runtime gave no answer.

    Attributes:
        error_type: AWS's name, such as ``Runtime.ExitError``.
        message: what follows ``RequestId: … Error:`` in the error that the caller reads.
        is_timeout: whether time ran out.
        posted: the runtime's own words, where it had some (``init/error``).
    """

    error_type: str
    message: str
    is_timeout: bool = False
    posted: Answer | None = None

    def answer_for(self, request_id: str) -> Answer:
        """What the caller of ``request_id`` gets."""
        if self.posted is not None:
            return self.posted
        return platform_error(self.error_type, f"RequestId: {request_id} Error: {self.message}")
