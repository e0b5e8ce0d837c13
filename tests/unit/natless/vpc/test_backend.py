"""What networks are built of, and what is said when nothing will do."""

import pytest

from natless.errors import EnvironmentLacks
from natless.vpc import backend
from natless.vpc.capability import Cause

CAUSE = Cause("plain users may not make user namespaces here.", "Run: sudo sysctl -w …")
NO_ENGINE = EnvironmentLacks("no Docker engine answers", hint="Start it.")


@pytest.fixture
def machine(monkeypatch):
    def make(*, namespaces: bool, engine: bool) -> None:
        def check() -> None:
            if not engine:
                raise NO_ENGINE

        monkeypatch.setattr(backend, "find_cause", lambda: None if namespaces else CAUSE)
        monkeypatch.setattr(backend, "_check_engine", check)

    return make


@pytest.mark.parametrize(
    ("wanted", "namespaces", "engine", "chosen"),
    [
        ("auto", True, True, "netns"),
        ("auto", True, False, "netns"),
        ("auto", False, True, "docker"),
        ("netns", True, False, "netns"),
        ("docker", True, True, "docker"),
        ("docker", False, True, "docker"),
    ],
)
def test_what_is_wanted_and_there_is_taken(machine, wanted, namespaces, engine, chosen):
    machine(namespaces=namespaces, engine=engine)
    assert backend.choose_network(wanted) == chosen


def test_namespaces_that_are_wanted_are_not_replaced_by_containers(machine):
    machine(namespaces=False, engine=True)
    with pytest.raises(EnvironmentLacks, match="plain users may not") as raised:
        backend.choose_network("netns")
    assert raised.value.hint == CAUSE.hint


def test_containers_that_are_wanted_are_not_replaced_by_namespaces(machine):
    machine(namespaces=True, engine=False)
    with pytest.raises(EnvironmentLacks, match="no Docker engine answers"):
        backend.choose_network("docker")


def test_a_machine_that_can_do_nothing_says_both_reasons_and_both_ways_out(machine):
    machine(namespaces=False, engine=False)
    with pytest.raises(EnvironmentLacks) as raised:
        backend.choose_network("auto")
    for words in (CAUSE.message, "no Docker engine answers"):
        assert words in str(raised.value)
    for words in (CAUSE.hint, NO_ENGINE.hint):
        assert words in raised.value.hint
