"""Checks of what every part of natless stands on: Python, time, loopback, ports."""

from __future__ import annotations

import importlib
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from natless.doctor.finding import Seen
from natless.errors import NatlessError
from natless.shim_archive import shim_archive
from natless.vpc.launch import python_environment, python_program

START_BUDGET = 15.0
"""Seconds for a Python process of ours to start and end; it takes a fraction of one."""

CONNECT_BUDGET = 5.0
"""Seconds for a connection over loopback; it takes a fraction of a millisecond."""

CLOCK_TOLERANCE = 0.5
"""Seconds by which the calendar may move against the monotonic clock while a process starts."""

PORTS = {9400: "natless dev, docker compose up", 8443: "natless relay"}
"""Ports that commands take unless told otherwise."""

SET_CLOCK = "sudo timedatectl set-ntp true"


def check_python() -> Seen:
    """Imports every part, and starts the relay as the process that it is."""
    again = f"{sys.executable} -m pip install --force-reinstall natless (in a clone: make setup)"
    try:
        importlib.import_module("natless.lab")  # and with it everything that a run needs
        shim_archive()
    except (ImportError, OSError, NatlessError) as error:
        return Seen.lacks(f"a part cannot be loaded: {error}", again)
    if _run(python_program("relay", "--help"), environment=python_environment(os.environ)) is None:
        return Seen.lacks("the relay does not start", again)
    return Seen.ok(f"Python {platform.python_version()}; every part loads, the relay starts")


def check_clock() -> Seen:
    """Compares the monotonic clock with another process's, and the calendar with both."""
    code = "import time; print(time.monotonic())"
    before, calendar = time.monotonic(), time.time()
    said = _run((sys.executable, "-I", "-c", code), environment=os.environ)
    after, now = time.monotonic(), time.time()
    if said is None or not before <= float(said) <= after:
        return Seen.lacks(
            "processes do not share one monotonic clock, so their waterfalls do not fit together",
            "Start natless outside that time namespace.",
        )
    if abs((now - calendar) - (after - before)) > CLOCK_TOLERANCE:
        return Seen.warning(
            "the calendar jumped just now: certificates and signatures may be refused",
            SET_CLOCK,
        )
    if now < Path(__file__).stat().st_mtime:
        return Seen.lacks(
            f"the calendar says {time.strftime('%Y-%m-%d')}, before natless was installed:"
            " certificates and signatures will be refused",
            SET_CLOCK,
        )
    return Seen.ok("one monotonic clock for all processes, and a sane calendar")


def check_localhost() -> Seen:
    """Connects to a listening socket on 127.0.0.1 by the name ``localhost``."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("localhost", port), timeout=CONNECT_BUDGET):
                pass
    except OSError as error:
        return Seen.lacks(
            f"127.0.0.1 cannot be reached by the name localhost: {error}",
            "echo '127.0.0.1 localhost' | sudo tee -a /etc/hosts",
        )
    return Seen.ok("127.0.0.1 listens, and answers to the name localhost")


def check_proxy() -> Seen:
    """Asks Python, which reads the same variables as curl, where ``localhost`` would go."""
    proxies = urllib.request.getproxies_environment()
    if "http" not in proxies:
        return Seen.ok("none for http://localhost")
    if urllib.request.proxy_bypass("localhost"):
        return Seen.ok("the one that is set is not asked for http://localhost")
    return Seen.warning(
        "http_proxy is set, also for localhost: curl will not reach natless",
        "export no_proxy=localhost,127.0.0.1",
    )


def check_ports() -> Seen:
    """Listens for a moment where commands listen by default."""
    taken = {port: user for port, user in PORTS.items() if not _is_free(port)}
    if not taken:
        return Seen.ok(f"free on 127.0.0.1: {', '.join(map(str, PORTS))}")
    first = next(iter(taken))
    return Seen.warning(
        "in use on 127.0.0.1: "
        + ", ".join(f"{port} (default of {user})" for port, user in taken.items()),
        f"ss -ltnp 'sport = :{first}' says who; or take another: --port 9500, and"
        " NATLESS_PORT=9500 for docker compose",
    )


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def _run(argv: Sequence[str], *, environment: Mapping[str, str]) -> str | None:
    """The output of a program, None when it fails or hangs."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env=dict(environment),
            timeout=START_BUDGET,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
