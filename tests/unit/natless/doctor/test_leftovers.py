"""What killed runs have left is told, and removed when somebody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from natless.doctor import leftovers
from natless.doctor.finding import State
from natless.errors import EnvironmentLacks
from natless.run_directory import Leftover
from natless.vpc import docker_engine

FOLDER = Leftover(Path("/tmp/natless-abc"), "natless demo", 42)


class Engine:
    """An engine with one dead lab."""

    def __init__(self) -> None:
        self.labs = ("1a2b",)
        self.is_open = True

    def find_leftovers(self) -> tuple[str, ...]:
        return self.labs

    def remove_leftovers(self) -> tuple[str, ...]:
        removed, self.labs = self.labs, ()
        return removed

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(docker_engine.Engine, "connect", lambda **_: engine)
    monkeypatch.setattr(leftovers, "find_leftovers", lambda: (FOLDER,))
    monkeypatch.setattr(leftovers, "remove_leftovers", lambda: (FOLDER,))
    return engine


def test_folders_and_labs_of_the_dead_are_named_and_stay(engine: Engine) -> None:
    seen = leftovers.check_leftovers()
    assert seen.state is State.WARNING
    assert "/tmp/natless-abc (natless demo, process 42)" in seen.said
    assert "the Docker lab 1a2b" in seen.said
    assert seen.fix == "natless doctor --sweep"
    assert engine.labs
    assert not engine.is_open


def test_sweeping_removes_both(engine: Engine) -> None:
    assert leftovers.sweep() == ("/tmp/natless-abc", "the Docker lab 1a2b")
    assert not engine.labs
    assert not engine.is_open


def test_without_an_engine_folders_are_still_looked_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: str) -> Engine:
        raise EnvironmentLacks("no Docker engine answers")

    monkeypatch.setattr(docker_engine.Engine, "connect", refuse)
    assert "natless-abc" in leftovers.check_leftovers().said
    assert leftovers.sweep() == ("/tmp/natless-abc",)
    monkeypatch.setattr(leftovers, "find_leftovers", lambda: ())
    assert leftovers.check_leftovers().state is State.OK


def test_on_another_system_no_lab_can_have_been_made(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers.sys, "platform", "darwin")
    assert leftovers.sweep() == ("/tmp/natless-abc",)
    assert engine.labs
