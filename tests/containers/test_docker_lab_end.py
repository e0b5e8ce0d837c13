"""A lab of containers ends with its run, and says clearly why it cannot begin."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Network

import pytest

from natless.errors import EnvironmentLacks
from natless.journal import Journal
from natless.vpc.docker_engine import Engine, _knock
from natless.vpc.docker_owner import LAB
from tests.containers.conftest import ROOT, Watcher, find_uplink
from tests.containers.docker_bench import open_lab

END_BUDGET = 20.0  # for what takes a second

DIE = """
import asyncio, os, pathlib, signal, sys
sys.path.insert(0, sys.argv[2])
from natless.journal import Journal
from tests.containers.docker_bench import open_lab

async def main():
    async with open_lab(pathlib.Path(sys.argv[1]), Journal()):
        print("up", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def _labs():
    done = subprocess.run(
        ["docker", "network", "ls", "--filter", f"label={LAB}", "--format", "{{json .}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _running():
    done = subprocess.run(
        ["docker", "ps", "--filter", f"label={LAB}", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_what_a_killed_run_left_is_removed_by_the_next(engine, tmp_path_factory):
    first = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", DIE, str(first), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "up\n"), done.stderr
    assert _labs()
    give_up = time.monotonic() + END_BUDGET
    while running := _running():  # what nobody asks any more ends by itself
        assert time.monotonic() < give_up, running
    facts = []
    journal = Journal()
    journal.listen(facts.append)

    async def next_run():
        async with open_lab(tmp_path_factory.mktemp("next"), journal):
            pass

    asyncio.run(next_run())
    assert [fact.kind for fact in facts].count("vpc.leftover.removed") == 1
    assert _labs() == []


def test_without_an_engine_the_next_step_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(EnvironmentLacks, match="no Docker engine answers") as raised:
        Engine.connect(lab="x")
    assert "systemctl start docker" in raised.value.hint


def test_the_watcher_sees_what_it_is_to_see():
    if os.geteuid() or find_uplink() is None:
        pytest.skip("only root may watch an interface")
    with (
        Watcher("lo", [IPv4Network("127.0.0.99/32")]) as watcher,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        while not watcher.seen:
            sender.sendto(b"hello", ("127.0.0.99", 9))
    assert str(watcher.seen[0][1]) == "127.0.0.99"


def test_a_socket_on_which_nobody_listens_is_no_engine(tmp_path):
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        with pytest.raises(EnvironmentLacks, match="no Docker engine answers") as raised:
            _knock(f"unix://{path}")  # bound, and nobody listens
    assert "DOCKER_HOST" in raised.value.hint
