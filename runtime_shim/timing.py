"""The spans of one invocation, and what an exception means as the outcome of a phase."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.budgets import Wait
from runtime_shim.errors import Obstacle, PhaseFailed

_UNREACHABLE = {
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.EACCES,
    errno.EPERM,  # a local packet filter
    errno.EADDRNOTAVAIL,
}
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class SpanLog:
    """Collects the spans of one invocation in the order of their start.

    Args:
        now: the clock, monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.spans: list[Span] = []

    @asynccontextmanager
    async def observe(
        self,
        phase: Phase,
        wait: Wait,
        detail: dict[str, Any],
        *,
        on_timeout: Callable[[], Obstacle | None] = lambda: None,
    ) -> AsyncIterator[None]:
        """Bounds and times a phase; its body may add facts to ``detail``.

        Args:
            phase: the phase.
            wait: its limit.
            detail: the facts known so far.
            on_timeout: what is better known than that the wait ran out, if anything.

        Raises:
            PhaseFailed: the wait ran out, or the body raised an obstacle or an operating system's
                error. The span is in the log already.
        """
        started = self.now()
        outcome, facts = Outcome.CANCELLED, detail
        failure: BaseException | None = None
        try:
            async with asyncio.timeout(wait.seconds):
                yield
            outcome = Outcome.OK
        except (Obstacle, OSError) as error:  # asyncio's TimeoutError is one since 3.11
            obstacle = explain_exception(error, phase)
            if obstacle.outcome is Outcome.TIMEOUT:
                obstacle = on_timeout() or obstacle
            outcome, facts = obstacle.outcome, detail | dict(obstacle.facts)
            failure = error
        finally:
            span = self.add(phase, wait, started=started, outcome=outcome, detail=facts)
        if failure is not None:
            raise PhaseFailed(span) from failure

    def add(
        self,
        phase: Phase,
        wait: Wait,
        *,
        started: float,
        finished: float | None = None,
        outcome: Outcome = Outcome.OK,
        detail: dict[str, Any] | None = None,
    ) -> Span:
        """Appends a span that was timed elsewhere; it ends now if ``finished`` is not given."""
        facts = dict(detail or {})
        if wait.is_clipped:
            facts["clipped"] = True  # the invocation's deadline allowed less than the budget
        has_limit = math.isfinite(wait.seconds)
        span = Span(
            phase=phase,
            started=started,
            finished=max(started, self.now() if finished is None else finished),
            outcome=outcome,
            budget=wait.name if has_limit else "",
            budget_seconds=round(wait.seconds, 6) if has_limit else 0.0,
            detail=facts,
        )
        self.spans.append(span)
        return span


def explain_exception(error: Exception, phase: Phase) -> Obstacle:
    """An exception as the outcome of a phase and its facts."""
    if isinstance(error, Obstacle):
        return error
    if isinstance(error, socket.gaierror):
        return _explain_name_error(error)
    if isinstance(error, ssl.SSLError):
        return _explain_tls_error(error)
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, TimeoutError):  # asyncio's has no errno, the kernel's is ETIMEDOUT
        is_name = phase is Phase.RESOLVE
        return Obstacle(Outcome.NAME_TIMEOUT if is_name else Outcome.TIMEOUT, errno=number)
    if number == errno.ECONNREFUSED:
        return Obstacle(Outcome.REFUSED, errno=number)
    if number in _UNREACHABLE:
        return Obstacle(Outcome.UNREACHABLE, errno=number)
    if number in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
        return Obstacle(Outcome.RESET, errno=number)
    # asyncio says so without a number when the peer ends the stream during the TLS handshake.
    message = str(error) or type(error).__name__
    return Obstacle(Outcome.CLOSED, errno=number, message=message)


def _explain_name_error(error: socket.gaierror) -> Obstacle:
    is_missing = error.errno in _NO_SUCH_NAME
    outcome = Outcome.NAME_NOT_FOUND if is_missing else Outcome.NAME_TIMEOUT
    return Obstacle(outcome, errno=error.errno, message=str(error.strerror))


def _explain_tls_error(error: ssl.SSLError) -> Obstacle:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Obstacle(Outcome.TLS_ERROR, message=error.verify_message, code=error.verify_code)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Obstacle(Outcome.CLOSED, message="the peer ended the handshake")
    reason = getattr(error, "reason", None)  # OpenSSL's own word; not on errors Python made up
    return Obstacle(Outcome.TLS_ERROR, message=reason or str(error))


def publish_result(outcome: Outcome, facts: Mapping[str, Any], *, step: str) -> str:
    """What came of a publish in one word.

    The three timeouts are told apart, ``timeout:tcp``, ``timeout:tls`` and ``timeout:answer``,
    because they are three different waits: 30 s, 10 s and none in SST's bridge.
    """
    if outcome in (Outcome.TIMEOUT, Outcome.NAME_TIMEOUT):
        return f"timeout:{step}"
    if outcome is Outcome.HTTP_ERROR and "status" in facts:
        return f"http:{facts['status']}"
    names = {Outcome.NAME_NOT_FOUND: "dns", Outcome.TLS_ERROR: "tls"}
    return names.get(outcome, str(outcome))
