"""One invocation on the developer's side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from event_protocol.live import KEPT_HEADER
from natless.lambda_host.runtime_session import Event
from natless.worker.process import HandlerProcess

_NONCE, _DEADLINE = "lambda-runtime-invocation-id", "lambda-runtime-deadline-ms"


@dataclass(slots=True)
class Work:
    """One invocation on this side.

    Attributes:
        event: what the handler gets.
        received: monotonic seconds at which the whole NEXT was here.
        deadline: monotonic seconds at which the function's time is up.
        withdrawn: done with the reason when nobody waits for the answer any more.
        started: monotonic seconds at which the handler got the event, 0 before.
        handled: monotonic seconds at which its answer was there, 0 before.
        process: the process that it was given to.
    """

    event: Event
    received: float
    deadline: float
    withdrawn: asyncio.Future[str]
    started: float = 0.0
    handled: float = 0.0
    process: HandlerProcess | None = None

    @property
    def request_id(self) -> str:
        """The invocation's id."""
        return self.event.request_id

    @property
    def is_kept(self) -> bool:
        """Whether its guest had kept it in a spool."""
        return KEPT_HEADER in self.event.headers

    @property
    def attempt(self) -> str:
        """Which attempt at this invocation it is: Lambda's own retries have the first one's id.

        A guest that repeats itself repeats the headers, too. An event that it kept has a new
        deadline each time, so that says when it was kept.
        """
        headers = self.event.headers
        told = (headers.get(name) for name in (KEPT_HEADER, _NONCE, _DEADLINE))
        return f"{self.request_id} {next((each for each in told if each), '')}"
