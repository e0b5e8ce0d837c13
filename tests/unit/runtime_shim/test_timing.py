from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl

import pytest

from event_protocol.phases import Outcome, Phase
from runtime_shim.budgets import Wait
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.timing import SpanLog, explain_exception

WAIT = Wait("connect.tcp", 3.0)


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "outcome", "number"),
    [
        (TimeoutError(), Outcome.TIMEOUT, None),
        (os_error(errno.ETIMEDOUT), Outcome.TIMEOUT, errno.ETIMEDOUT),
        (os_error(errno.ECONNREFUSED), Outcome.REFUSED, errno.ECONNREFUSED),
        (os_error(errno.EHOSTUNREACH), Outcome.UNREACHABLE, errno.EHOSTUNREACH),
        (os_error(errno.ENETUNREACH), Outcome.UNREACHABLE, errno.ENETUNREACH),
        (os_error(errno.EACCES), Outcome.UNREACHABLE, errno.EACCES),
        (os_error(errno.EPERM), Outcome.UNREACHABLE, errno.EPERM),
        (os_error(errno.ECONNRESET), Outcome.RESET, errno.ECONNRESET),
        (os_error(errno.EPIPE), Outcome.RESET, errno.EPIPE),
        (ConnectionResetError("asyncio's own, without a number"), Outcome.CLOSED, None),
    ],
)
def test_an_errno_is_an_outcome(error: OSError, outcome: Outcome, number: int | None) -> None:
    obstacle = explain_exception(error, Phase.CONNECT)
    assert (obstacle.outcome, obstacle.facts["errno"]) == (outcome, number)


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (socket.EAI_NONAME, Outcome.NAME_NOT_FOUND),
        (socket.EAI_NODATA, Outcome.NAME_NOT_FOUND),
        (socket.EAI_AGAIN, Outcome.NAME_TIMEOUT),
        (socket.EAI_FAIL, Outcome.NAME_TIMEOUT),
    ],
)
def test_a_resolvers_word_is_an_outcome(number: int, outcome: Outcome) -> None:
    obstacle = explain_exception(socket.gaierror(number, "says so"), Phase.RESOLVE)
    assert (obstacle.outcome, obstacle.facts["errno"]) == (outcome, number)
    assert obstacle.facts["message"] == "says so"


def test_a_resolver_that_we_no_longer_wait_for_is_a_name_timeout() -> None:
    assert explain_exception(TimeoutError(), Phase.RESOLVE).outcome is Outcome.NAME_TIMEOUT


def test_a_certificate_that_is_not_trusted_is_a_tls_error_with_openssls_words() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message, error.verify_code = "self-signed certificate", 18
    obstacle = explain_exception(error, Phase.TLS)
    assert obstacle.outcome is Outcome.TLS_ERROR
    assert obstacle.facts == {"message": "self-signed certificate", "code": 18}


def test_the_end_of_the_stream_in_the_handshake_is_no_tls_error() -> None:
    assert explain_exception(ssl.SSLEOFError(8, "EOF"), Phase.TLS).outcome is Outcome.CLOSED
    assert explain_exception(ssl.SSLError(1, "alert"), Phase.TLS).outcome is Outcome.TLS_ERROR


async def test_a_phase_that_ends_well_is_a_span_with_its_facts() -> None:
    times = iter([10.0, 12.5])
    spans = SpanLog(now=lambda: next(times))
    detail: dict[str, object] = {"host": "h"}
    async with spans.observe(Phase.CONNECT, WAIT, detail):
        detail["address"] = "a"
    (span,) = spans.spans
    assert (span.started, span.finished, span.outcome) == (10.0, 12.5, Outcome.OK)
    assert (span.budget, span.budget_seconds) == ("connect.tcp", 3.0)
    assert span.detail == {"host": "h", "address": "a"}


async def test_a_phase_that_fails_is_in_the_log_and_in_the_error() -> None:
    spans = SpanLog()
    with pytest.raises(PhaseFailed) as caught:
        async with spans.observe(Phase.CONNECT, WAIT, {"host": "h"}):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert spans.spans == [caught.value.span]
    assert caught.value.phase is Phase.CONNECT
    assert caught.value.elapsed == caught.value.span.duration
    assert caught.value.span.detail == {"host": "h", "errno": errno.ECONNREFUSED}


async def test_a_wait_that_runs_out_may_know_better() -> None:
    spans = SpanLog()
    refusal = Obstacle(Outcome.HTTP_ERROR, status=403)
    with pytest.raises(PhaseFailed) as caught:
        async with spans.observe(Phase.UPGRADE, Wait("x", 0.0), {}, on_timeout=lambda: refusal):
            await asyncio.Event().wait()
    assert caught.value.span.outcome is Outcome.HTTP_ERROR


async def test_a_phase_that_is_cancelled_says_so() -> None:
    spans = SpanLog()

    async def phase() -> None:
        async with spans.observe(Phase.CONNECT, WAIT, {}):
            await asyncio.Event().wait()

    task = asyncio.create_task(phase())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [span.outcome for span in spans.spans] == [Outcome.CANCELLED]


async def test_a_mistake_of_ours_is_not_taken_for_an_outcome() -> None:
    with pytest.raises(ZeroDivisionError):
        async with SpanLog().observe(Phase.CONNECT, WAIT, {}):
            _ = 1 / 0


def test_a_clipped_wait_is_noted_and_a_span_never_ends_before_it_starts() -> None:
    wait = Wait("dev.total", 0.5, is_clipped=True)
    span = SpanLog().add(Phase.HANDLE, wait, started=5.0, finished=4.0, detail={"bytes": 1})
    assert span.detail == {"bytes": 1, "clipped": True}
    assert span.finished == 5.0
