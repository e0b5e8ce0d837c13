"""The servers, one at a time on a core of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import ministack

API_KEY = "da2-0123456789"  # what the generators present
READY_BUDGET = 20.0  # seconds
END_BUDGET = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens.

    Attributes:
        pid: of its process.
        port: for http and ws.
        tls_port: for https and wss, None where it has none.
        hosts: names by which its API is found over HTTP and in real time, None for any.
        seconds: from its start to its word that it listens, where it says one.
    """

    pid: int
    port: int
    tls_port: int | None
    hosts: tuple[str, str] | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files for localhost."""

    certificate: Path
    key: Path


@contextmanager
def run_relay(certificate: Certificate, *, core: int, log: Path) -> Iterator[Running]:
    """The relay, complete: authorization, limits, journal."""
    argv = [sys.executable, "-P", "-m", "relay", "--json", "--journal", os.devnull]
    argv += ["--port", "0", "--plain-port", "0", "--api-key", API_KEY, "--namespace", "default"]
    argv += ["--certificate", str(certificate.certificate), "--key", str(certificate.key)]
    started = time.monotonic()
    with _process(argv, core=core, log=log) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline() or "{}")
        seconds = time.monotonic() - started
        if "plain_http" not in ready:
            raise RuntimeError(f"the relay did not start; {log} says why")
        ports = _port_of(ready["plain_http"]), _port_of(ready["http"])
        yield Running(process.pid, *ports, seconds=seconds)


@contextmanager
def run_naive(certificate: Certificate, *, core: int, log: Path) -> Iterator[Running]:
    """What one writes first with aiohttp."""
    argv = [sys.executable, "-P", "-m", "bench.naive_relay", str(certificate.certificate)]
    argv.append(str(certificate.key))
    with _process(argv, core=core, log=log) as process:
        assert process.stdout is not None
        port, tls_port = map(int, process.stdout.readline().split())
        yield Running(process.pid, port, tls_port)


@contextmanager
def run_reference(
    program: Path, certificate: Certificate, *, core: int, log: Path, is_tls: bool
) -> Iterator[Running]:
    """The C program; it speaks either plain or TLS."""
    port = _free_port()
    argv = [str(program), str(port)]
    if is_tls:
        argv += [str(certificate.certificate), str(certificate.key)]
    with _process(argv, core=core, log=log) as process:
        _await_port(port)
        yield Running(process.pid, port, port if is_tls else None)


@contextmanager
def run_ministack(program: Path, *, core: int, log: Path) -> Iterator[Running]:
    """MiniStack, as it comes: without authorization."""
    port = _free_port()
    with _process([str(program)], core=core, log=log, more=ministack.environment(port)) as process:
        _await_port(port)
        yield Running(process.pid, port, None, hosts=ministack.create_api(port))


@contextmanager
def _process(
    argv: list[str], *, core: int, log: Path, more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    with log.open("a") as errors:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | dict(more or {}),
            cwd=log.parent,  # whoever leaves files leaves them there
        )
    try:
        os.sched_setaffinity(process.pid, {core})
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_BUDGET)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    until = time.monotonic() + READY_BUDGET
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def _port_of(url: str) -> int:
    return int(url.split(":")[2].split("/")[0])
