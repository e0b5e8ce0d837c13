"""``natless doctor`` where there is an engine: what it makes, what it finds, what it sweeps."""

import json
import os
import signal
import subprocess
import sys
import tempfile

import pytest

from natless.doctor import State, sweep
from natless.doctor.docker_command import check_network
from natless.doctor.docker_lab import check_docker_lab
from natless.doctor.leftovers import check_leftovers
from tests.containers.conftest import ROOT

DIE = """
import asyncio, os, pathlib, signal, sys
sys.path.insert(0, sys.argv[2])
from natless.journal import Journal
from tests.containers.docker_bench import open_lab

async def main():
    async with open_lab(pathlib.Path(sys.argv[1]), Journal()):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def ask(folder, *arguments, **environment):
    """The doctor's exit code, and its document with the findings by name."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "natless.cli", "doctor", "--json", *arguments],
        env=os.environ | {"TMPDIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    document = json.loads(done.stdout)
    return done.returncode, document, {each["name"]: each for each in document["findings"]}


def made(kind, label="natless.lab"):
    stopped = ("--all",) if kind == "container" else ()
    done = subprocess.run(
        ["docker", kind, "ls", "--quiet", *stopped, "--filter", f"label={label}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return sorted(done.stdout.split())  # the engine lists them in any order


@pytest.fixture
def clashing(engine):
    """Somebody else's network, where the lab's endpoint would be."""
    name = "natless-test-clash"
    command = ("docker", "network")
    subprocess.run([*command, "create", "--subnet", "10.0.9.0/25", name], check=True, timeout=60)
    yield name
    subprocess.run([*command, "rm", name], check=True, timeout=60)


def test_both_ways_to_use_docker_work_and_nothing_is_left(engine, tmp_path):
    before = made("network", "")
    code, said, found = ask(tmp_path, "--need", "docker", "--need", "compose")
    assert code == 0, said
    assert said["works"]["docker"]
    assert said["works"]["compose"]
    assert {found[name]["state"] for name in found if name.startswith("docker")} == {"ok"}
    assert found["leftovers"]["state"] == "ok"
    assert made("network", "") == before
    assert list(tmp_path.iterdir()) == []


def test_a_network_in_the_way_is_named_with_the_way_to_remove_it(clashing):
    for seen in (check_network(), check_docker_lab()):
        assert seen.state is State.LACKS
        assert clashing in seen.said
        assert f"docker network rm {clashing}" in seen.fix
    assert made("network") == []


def test_a_lab_of_a_killed_run_is_told_and_swept(engine, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # others' folders are theirs to sweep
    done = subprocess.run(
        [sys.executable, "-c", DIE, str(tmp_path_factory.mktemp("killed")), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert made("container")
    seen = check_leftovers()
    assert seen.state is State.WARNING
    assert "the Docker lab" in seen.said
    for seen in (check_network(), check_docker_lab()):
        assert "of a run that was killed" in seen.said
        assert seen.fix == "natless doctor --sweep"
    assert made("container")
    assert any("the Docker lab" in each for each in sweep())
    assert check_leftovers().state is State.OK
    assert check_network().state is State.OK
    assert made("container") == []
    assert made("network") == []
