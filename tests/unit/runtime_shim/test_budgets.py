from __future__ import annotations

import math
from dataclasses import fields

import pytest

from runtime_shim.budgets import Allowance, Budgets, budgets_from_environment
from runtime_shim.errors import ConfigError

NAMES = [each.name for each in fields(Budgets)]


def test_a_wait_has_its_budget_when_there_is_time() -> None:
    wait = Allowance(Budgets(), deadline=100.0).wait("connect.tcp", now=10.0)
    assert (wait.name, wait.seconds, wait.is_clipped) == ("connect.tcp", 3.0, False)


def test_a_wait_is_clipped_to_the_deadline_less_the_reserve() -> None:
    wait = Allowance(Budgets(answer_reserve=0.5), deadline=12.0).wait("connect.tcp", now=10.0)
    assert (wait.seconds, wait.is_clipped) == (1.5, True)


def test_a_wait_that_began_earlier_has_only_the_rest() -> None:
    allowance = Allowance(Budgets(), deadline=math.inf)
    assert allowance.wait("dev.first", now=20.0, since=10.0).seconds == 6.0


@pytest.mark.parametrize("now", [99.6, 101.0])
def test_no_wait_is_negative(now: float) -> None:
    allowance = Allowance(Budgets(answer_reserve=0.5), deadline=100.0)
    assert allowance.wait("connect.tcp", now=now).seconds == 0.0
    assert allowance.wait("connect.tcp", now=now, since=0.0).seconds == 0.0


def test_without_a_deadline_nothing_is_clipped() -> None:
    assert not Allowance(Budgets()).wait("dev.total", now=1e9).is_clipped


def test_a_fallback_has_most_of_the_reserve() -> None:
    allowance = Allowance(Budgets(answer_reserve=0.5), deadline=100.0)
    assert allowance.left(now=99.5) == pytest.approx(0.4)
    assert allowance.left(now=100.0) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_every_budget_can_be_set_by_its_variable(name: str) -> None:
    budgets = budgets_from_environment({f"NATLESS_BUDGET_{name.upper()}": "7", "PATH": "/bin"})
    assert getattr(budgets, name) == 7
    others = [each for each in NAMES if each != name]
    assert all(getattr(budgets, each) == getattr(Budgets(), each) for each in others)


def test_a_budget_may_be_zero_seconds_but_not_zero_tries() -> None:
    assert budgets_from_environment({"NATLESS_BUDGET_WARM_MAX_AGE": "0"}).warm_max_age == 0
    with pytest.raises(ConfigError, match="a count from 1"):
        budgets_from_environment({"NATLESS_BUDGET_PUBLISH_ATTEMPTS": "0"})


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1s"])
def test_what_is_no_number_of_seconds_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="NATLESS_BUDGET_CONNECT_TCP"):
        budgets_from_environment({"NATLESS_BUDGET_CONNECT_TCP": text})


def test_an_unknown_budget_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"CONNECT_TPC is not a budget.*CONNECT_TCP"):
        budgets_from_environment({"NATLESS_BUDGET_CONNECT_TPC": "1"})
