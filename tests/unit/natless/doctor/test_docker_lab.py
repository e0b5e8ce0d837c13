"""What the SDK's way to Docker needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from natless.doctor import docker_lab
from natless.doctor.finding import State
from natless.errors import EnvironmentLacks
from natless.vpc import docker_engine
from natless.vpc.model import ADDRESSES


class Engine:
    """An engine that makes networks, or refuses the second."""

    def __init__(self, *, is_refusing: bool = False) -> None:
        self.is_refusing = is_refusing
        self.made: list[str] = []
        self.is_open = True

    def make_network(self, _: str, *, network: str, gateway: str) -> str:
        if self.is_refusing and self.made:
            raise EnvironmentLacks(f"{network} is taken", hint="docker network rm theirs")
        assert gateway
        self.made.append(network)
        return "id"

    def remove_lab(self) -> None:
        self.made.clear()

    def close(self) -> None:
        self.is_open = False


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_networks_of_a_lab_are_made_and_removed(
    monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    engine = Engine()
    monkeypatch.setattr(docker_engine.Engine, "connect", lambda **_: engine)
    seen = docker_lab.check_docker_lab()
    assert seen.state is State.OK
    assert str(len(ADDRESSES.legs)) in seen.said
    assert (engine.made, engine.is_open) == ([], False)
    assert list(scratch.iterdir()) == []


def test_a_network_that_is_refused_takes_the_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(is_refusing=True)
    monkeypatch.setattr(docker_engine.Engine, "connect", lambda **_: engine)
    seen = docker_lab.check_docker_lab()
    assert (seen.state, seen.fix) == (State.LACKS, "docker network rm theirs")
    assert "is taken" in seen.said
    assert (engine.made, engine.is_open) == ([], False)


def test_without_an_engine_its_own_hint_is_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> Engine:
        raise EnvironmentLacks("no Docker engine answers", hint="Start it")

    monkeypatch.setattr(docker_engine.Engine, "connect", refuse)
    seen = docker_lab.check_docker_lab()
    assert (seen.state, seen.said, seen.fix) == (
        State.LACKS,
        "no Docker engine answers",
        "Start it",
    )


def test_a_temporary_folder_with_a_long_path_is_found(
    monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    long = scratch / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    seen = docker_lab.check_docker_lab()
    assert seen.state is State.LACKS
    assert "too long" in seen.said
    assert seen.fix == "export TMPDIR=/tmp"


def test_on_another_system_compose_is_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_lab.sys, "platform", "darwin")
    seen = docker_lab.check_docker_lab()
    assert (seen.state, seen.fix) == (State.LACKS, "docker compose up")
