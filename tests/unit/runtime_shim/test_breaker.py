from __future__ import annotations

import pytest

from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.breaker import Breaker, BreakerRule
from runtime_shim.errors import ConfigError

FAILED = Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT)
RULE = BreakerRule(2, 30.0)


def test_it_opens_after_so_many_failures_in_a_row_and_for_so_long() -> None:
    breaker = Breaker(RULE)
    breaker.note_failure(FAILED, now=100.0)
    assert breaker.blocked_by(now=100.0) is None
    breaker.note_failure(FAILED, now=110.0)
    blocked = breaker.blocked_by(now=115.0)
    assert blocked is not None
    assert blocked[0] is FAILED
    assert "2 failures in a row" in blocked[1]
    assert "another 25.0 s" in blocked[1]
    assert breaker.blocked_by(now=140.0) is None


def test_the_one_try_after_the_pause_decides() -> None:
    breaker = Breaker(RULE)
    for now in (0.0, 0.0, 40.0):
        breaker.note_failure(FAILED, now=now)
    assert breaker.blocked_by(now=41.0) is not None
    breaker.note_success()
    breaker.note_failure(FAILED, now=42.0)
    assert breaker.blocked_by(now=42.0) is None


def test_a_channel_that_was_open_counts_as_open_whatever_came_of_the_call() -> None:
    breaker = Breaker(RULE)
    breaker.note_failure(FAILED, now=0.0)
    breaker.note_failure(Span(Phase.DELIVER, 0.0, 1.0, Outcome.TIMEOUT), now=1.0)
    breaker.note_failure(FAILED, now=2.0)
    assert breaker.blocked_by(now=2.0) is None


def test_a_clock_that_was_set_back_does_not_keep_it_open() -> None:
    breaker = Breaker(RULE)
    for _ in range(2):
        breaker.note_failure(FAILED, now=1000.0)
    assert breaker.blocked_by(now=5.0) is None


def test_without_a_rule_it_never_opens() -> None:
    breaker = Breaker(None)
    for _ in range(99):
        breaker.note_failure(FAILED, now=0.0)
    assert breaker.blocked_by(now=0.0) is None


@pytest.mark.parametrize(
    ("text", "rule"), [("", None), ("off", None), ("3:0.5", BreakerRule(3, 0.5)), ("2:30", RULE)]
)
def test_a_rule_is_failures_and_seconds(text: str, rule: BreakerRule | None) -> None:
    assert BreakerRule.parse(text) == rule


@pytest.mark.parametrize("text", ["3", "0:5", "3:0", "3:", "x:1", "3:inf", "3:nan", "-1:5", "3:-5"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NATLESS_BREAKER"):
        BreakerRule.parse(text)
