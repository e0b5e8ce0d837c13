from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.sentences import explain_span

TARGET = {"host": "abc.example.test", "port": 443, "address": "198.51.100.10"}


def span(phase: Phase, outcome: Outcome, *, seconds: float = 3.0, **detail: Any) -> Span:
    return Span(phase, 1.0, 1.0 + seconds, outcome, "connect.tcp", 3.0, TARGET | detail)


def test_an_unanswered_syn_names_address_limit_and_the_way_out() -> None:
    explanation = explain_span(span(Phase.CONNECT, Outcome.TIMEOUT, errno=None))
    assert explanation.error_type == "LiveBridge.ConnectTimeout"
    assert explanation.sentence == (
        "connect: no answer from 198.51.100.10:443 (abc.example.test) in 3.0 s"
        " (limit connect.tcp 3.0 s)"
    )
    assert "NAT gateway" in explanation.message


def test_a_refused_upgrade_names_status_and_peer() -> None:
    explanation = explain_span(span(Phase.UPGRADE, Outcome.HTTP_ERROR, seconds=0.012, status=403))
    assert explanation.sentence == (
        "upgrade: HTTP 403 from 198.51.100.10:443 (abc.example.test) after 0.012 s"
    )
    assert "interface endpoint" in explanation.hint


def test_the_services_own_words_are_repeated() -> None:
    denied = span(Phase.INIT, Outcome.DENIED, error_type="UnauthorizedException", message="no")
    assert "denied (UnauthorizedException: no)" in explain_span(denied).sentence


def test_a_wait_cut_by_the_functions_timeout_says_so() -> None:
    clipped = span(Phase.HANDLE, Outcome.TIMEOUT, clipped=True)
    assert "cut short by the function's timeout" in explain_span(clipped).sentence


@pytest.mark.parametrize(
    ("phase", "outcome", "name"),
    [
        (Phase.RESOLVE, Outcome.NAME_NOT_FOUND, "ResolveNameNotFound"),
        (Phase.RESOLVE, Outcome.NAME_TIMEOUT, "ResolveNameTimeout"),
        (Phase.TLS, Outcome.TLS_ERROR, "TlsError"),
        (Phase.DELIVER, Outcome.TIMEOUT, "DeliverTimeout"),
        (Phase.PUBLISH, Outcome.RESET, "PublishReset"),
    ],
)
def test_an_error_type_is_phase_and_kind(phase: Phase, outcome: Outcome, name: str) -> None:
    assert explain_span(span(phase, outcome)).error_type == f"LiveBridge.{name}"


def test_every_failure_has_words_and_a_next_step() -> None:
    for phase, outcome in product(Phase, Outcome):
        explanation = explain_span(Span(phase, 0.0, 1.0, outcome))
        assert explanation.sentence.startswith(f"{phase}: ")
        assert explanation.hint
        assert "None" not in explanation.message
