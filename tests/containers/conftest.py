"""An engine to build on, the composed lab, and somebody who watches the machine's way out."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import pytest

from natless.vpc.model import ADDRESSES

ROOT = Path(__file__).parents[2]
BASE_IMAGE = "python:3.13-slim"
PROJECT = "natless-test"

CALL_BUDGET = 60.0  # the function's own timeout is 20 s
UP_BUDGET = 300.0  # with everything built anew
EDIT_BUDGET = 15.0  # what takes a fraction of a second

_EVERY_PROTOCOL = 0x0003
_ETHERNET_IPV4, _ETHERNET_IPV6 = 0x0800, 0x86DD


@functools.cache
def find_obstacle(*, builds: bool = True) -> str | None:
    """Why nothing can be built here, or nothing run from an image that is named; None if it can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    if _docker("version", "--format", "{{.Server.Version}}").returncode:
        return "no Docker engine answers"
    if _docker("compose", "version").returncode:
        return "docker has no compose"
    if not builds and os.environ.get("NATLESS_IMAGE"):
        return None
    if (
        _docker("image", "inspect", BASE_IMAGE).returncode
        and _docker("pull", BASE_IMAGE).returncode
    ):
        return f"the base image {BASE_IMAGE} is neither here nor to be had"
    return None


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="session")
def engine() -> None:
    if (obstacle := find_obstacle()) is not None:
        pytest.skip(f"no containers: {obstacle}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of the control port."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Loop:
    """``docker compose up`` with a developer's folder, and its control port."""

    folder: Path
    port: int
    files: tuple[str, ...] = ("compose.yaml",)
    environment: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, budget: float = UP_BUDGET) -> str:
        files = [part for name in self.files for part in ("-f", name)]
        done = subprocess.run(
            ["docker", "compose", "-p", PROJECT, *files, *arguments],
            cwd=ROOT,
            env=os.environ
            | {"NATLESS_APP": str(self.folder), "NATLESS_PORT": str(self.port)}
            | self.environment,
            capture_output=True,
            text=True,
            timeout=budget,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, data=body, headers=headers
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=CALL_BUDGET) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def invoke(self) -> Any:
        """What the example's handler says; see examples/hello."""
        answer = self.ask("/invoke", method="POST", body=b"{}")
        assert answer.status == 200, answer.body
        return json.loads(answer.json()["body"])

    def change(self, name: str, *flags: str) -> Any:
        answer = self.ask(f"/topology/{name}?{'&'.join(flags)}", method="PUT")
        assert answer.status == 200, answer.body
        return answer.json()

    def verdict(self) -> Any:
        answer = self.ask("/verdict", Accept="application/json")
        assert answer.status == 200, answer.body
        return answer.json()

    def containers(self) -> dict[str, Any]:
        """What the engine knows of each container, by its service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        known = json.loads(_docker("inspect", *ids).stdout)
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in known}


@contextmanager
def run_loop(folder: Path, *files: str, **environment: str) -> Iterator[Loop]:
    """Up for as long as the block lasts; images are built from the sources as they are."""
    app = folder / "hello"
    shutil.copytree(ROOT / "examples" / "hello", app)
    folder.chmod(0o755)  # pytest's folders are closed; a developer's are not
    loop = Loop(app, _free_port(), ("compose.yaml", *files), environment)
    try:
        build = () if os.environ.get("NATLESS_IMAGE") else ("--build",)  # named ones are there
        loop.compose("up", *build, "--detach", "--wait")
        _wait_for_control(loop)
        yield loop
    finally:
        loop.compose("down", "--timeout", "2")


@pytest.fixture(scope="module")
def loop(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Up once for all tests of a module."""
    with run_loop(tmp_path_factory.mktemp("app")) as loop:
        yield loop


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_for_control(loop: Loop) -> None:
    give_up = time.monotonic() + CALL_BUDGET
    while True:
        try:
            assert loop.ask("/").status == 200
        except OSError:
            assert time.monotonic() < give_up, loop.compose("logs", "control")
            time.sleep(0.05)  # nothing says when a port opens
        else:
            return


class Watcher:
    """Listens to the machine's way out, and keeps what belongs to the lab."""

    def __init__(self, interface: str, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = networks
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL)
        )
        self._socket.bind((interface, _EVERY_PROTOCOL))
        self._socket.settimeout(0.1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self.seen: list[tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]] = []
        self.total = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                packet, (_, protocol, *_) = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            ends = _ends_of(packet, protocol)
            self.total += 1
            if any(each in network for each in ends for network in self._networks):
                self.seen.append(ends)


def _ends_of(packet: bytes, protocol: int) -> Any:
    """Source and destination of a packet, nothing for what is neither IPv4 nor IPv6."""
    if protocol == _ETHERNET_IPV4:
        return IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    if protocol == _ETHERNET_IPV6:
        return IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    return ()


def watch_uplink(networks: Sequence[IPv4Network | IPv6Network]) -> Watcher | None:
    """Somebody who watches the machine's way out for these networks; None where nobody can."""
    interface = find_uplink()
    return Watcher(interface, networks) if interface is not None and not os.geteuid() else None


@pytest.fixture(scope="module")
def uplink() -> Iterator[Watcher | None]:
    """Watches for as long as a module's tests run."""
    legs = (*ADDRESSES.legs.values(), *ADDRESSES.legs_ipv6.values())
    watcher = watch_uplink([ip_network(leg.network) for leg in legs])
    with watcher or nullcontext():
        yield watcher


def find_uplink() -> str | None:
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, *_ = line.split()
        if int(destination, 16) == 0:
            return interface
    return None
