import contextlib
import errno
import socket
import ssl

import pytest

from event_protocol.phases import Outcome, Phase, Span
from natless.vpc.reach import Attempt, _span_to_json, _Stop, classify, span_from_json

BUDGETS = dict.fromkeys(Phase, 1.0)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TimeoutError("timed out"), Outcome.TIMEOUT),  # the program's own limit, without an errno
        (OSError(errno.ETIMEDOUT, "timed out"), Outcome.TIMEOUT),  # the kernel's
        (OSError(errno.ECONNREFUSED, "refused"), Outcome.REFUSED),
        (OSError(errno.ECONNRESET, "reset"), Outcome.RESET),
        (OSError(errno.EPIPE, "broken"), Outcome.RESET),
        (OSError(errno.EHOSTUNREACH, "no"), Outcome.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "no"), Outcome.UNREACHABLE),
        (OSError(errno.EACCES, "no"), Outcome.UNREACHABLE),
        (socket.gaierror(socket.EAI_AGAIN, "again"), Outcome.NAME_TIMEOUT),
        (socket.gaierror(socket.EAI_NONAME, "none"), Outcome.NAME_NOT_FOUND),
        (ssl.SSLCertVerificationError("bad"), Outcome.TLS_ERROR),
        (ssl.SSLEOFError("eof"), Outcome.CLOSED),
        (EOFError("closed"), Outcome.CLOSED),
    ],
)
def test_every_error_has_its_outcome(error, outcome):
    assert classify(error) is outcome


def test_a_phase_that_fails_is_noted_and_stops_the_call():
    attempt = Attempt(BUDGETS)
    with contextlib.suppress(_Stop):
        with attempt.phase(Phase.CONNECT) as detail:
            detail["address"] = "198.51.100.10"
            raise OSError(errno.ENETUNREACH, "no way")
        pytest.fail("the call went on")
    (span,) = attempt.spans
    assert (span.phase, span.outcome) == (Phase.CONNECT, Outcome.UNREACHABLE)
    assert span.detail["errno"] == errno.ENETUNREACH
    assert span.detail["error"] == "ENETUNREACH"
    assert span.detail["address"] == "198.51.100.10"
    assert span.budget_seconds == 1.0


def test_a_phase_that_ends_well_has_its_details():
    attempt = Attempt(BUDGETS)
    with attempt.phase(Phase.RESOLVE) as detail:
        detail["addresses"] = ["10.0.9.10"]
    (span,) = attempt.spans
    assert span.outcome is Outcome.OK
    assert span.finished >= span.started
    assert span.detail == {"addresses": ["10.0.9.10"]}


def test_a_mistake_of_ours_is_not_taken_for_an_outcome():
    attempt = Attempt(BUDGETS)
    with pytest.raises(ZeroDivisionError), attempt.phase(Phase.TLS):
        raise ZeroDivisionError


def test_a_span_survives_its_way_to_the_outside():
    span = Span(Phase.TLS, 1.0, 2.5, Outcome.TLS_ERROR, "probe.tls", 5.0, {"errno": 1})
    assert span_from_json(_span_to_json(span)) == span
