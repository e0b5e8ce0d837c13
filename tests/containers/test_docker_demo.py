"""`natless demo --network docker`: the same verdicts as on namespaces, by real containers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from natless.errors import EnvironmentLacks
from natless.vpc.backend import choose_network
from tests.network.test_demo_catalogue import SAID
from tests.network.test_pytest_door import write_files_of_the_page

ROOT = Path(__file__).parents[2]
NATLESS = Path(sys.executable).with_name("natless")
TOPOLOGIES = ("no-vpc", "nat", "no-nat", "endpoint")
SETTINGS = """
[demo]
invocations = 2
network = "docker"

[function.environment]
NATLESS_BUDGET_CONNECT_TCP = "0.6"
"""


def run_demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "natless.toml").write_text(SETTINGS)
    (folder / "t").mkdir(exist_ok=True)
    own = {"TMPDIR": str(folder / "t"), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [NATLESS, "demo", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | own | environment,
        cwd=folder,
        timeout=110,
    )


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run over the four networks: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    folder.chmod(0o755)
    done = run_demo(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_every_network_shows_what_it_promises_with_the_verdict_it_has_on_namespaces(run):
    folder, _ = run
    document = json.loads((folder / "natless-report/report.json").read_text())
    runs = {each["name"]: each for each in document["topologies"]}
    assert tuple(runs) == TOPOLOGIES
    for name, said in ((name, SAID[name]) for name in TOPOLOGIES):
        verdict = runs[name]["verdict"]
        assert runs[name]["kept"], name
        assert runs[name]["seen"].startswith(said.seen)
        assert (verdict["cause"], verdict["certainty"]) == (said.cause, said.sure)
        assert all(words in verdict["sentence"] for words in said.words)
        assert runs[name]["by"] == {"worker" if said.cause == "works" else "deployed": 2}


def test_the_report_says_of_what_the_networks_were_made(run):
    folder, printed = run
    assert json.loads((folder / "natless-report/report.json").read_text())["network"] == "docker"
    assert "on Docker containers." in printed
    page = (folder / "natless-report/report.html").read_text()
    assert "the networks are made of Docker containers" in page


def test_nothing_is_left(run):
    folder, _ = run
    assert list((folder / "t").iterdir()) == []
    for kind in (("ps", "--all"), ("network", "ls")):
        assert docker(*kind, "--filter", "label=natless.lab", "--quiet") == ""


def test_a_range_that_another_network_has_is_told_with_its_holder(run, tmp_path):
    holder = "natless-test-holder"
    docker("network", "create", "--subnet", "10.0.9.0/24", holder)
    try:
        done = run_demo(tmp_path)
    finally:
        docker("network", "rm", holder)
    assert done.returncode == 3, done.stderr
    assert f"10.0.9.0/24 is taken by the Docker network {holder}" in done.stderr
    assert f"docker network rm {holder}" in done.stderr
    assert list((tmp_path / "natless-report").iterdir()) == []


def test_the_lab_of_a_test_session_can_be_made_of_containers(engine, tmp_path):
    write_files_of_the_page(tmp_path)
    tmp_path.chmod(0o755)
    chosen = ["--natless-network", "docker", "-k", "my_code or way_out or comes_back"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", *chosen],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        umask=0o077,  # what the container reads must be readable there all the same
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@contextmanager
def pretend_engine(path: Path, version: bytes) -> Iterator[None]:
    """Answers whatever is asked as an engine would that says it is of this version."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    answer = head + b"Content-Length: %d\r\n\r\n%s" % (len(version), version)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    if connection.recv(65536):
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_engine_that_is_too_old_is_told_before_anything_is_begun(tmp_path):
    version = json.dumps({"ApiVersion": "1.39", "MinAPIVersion": "1.12", "Version": "18.09.1"})
    with pretend_engine(tmp_path / "docker.sock", version.encode()):
        done = run_demo(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert done.returncode == 3, done.stderr
    assert "Docker Engine 18.09.1 is too old for a lab" in done.stderr
    assert "20.10 or newer" in done.stderr
    assert not (tmp_path / "natless-report").exists()


def test_no_engine_is_told_with_how_to_start_it(tmp_path):
    done = run_demo(tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 3
    assert "no Docker engine answers: /nowhere.sock" in done.stderr
    assert "Start it" in done.stderr
    assert not (tmp_path / "natless-report").exists()


def test_an_engine_that_may_not_be_used_is_told_with_the_way_to_it(monkeypatch):
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(EnvironmentLacks, match="may not talk to the Docker engine") as raised:
        choose_network("docker")
    assert "usermod -aG docker" in raised.value.hint
