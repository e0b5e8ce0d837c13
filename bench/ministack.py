"""MiniStack, an emulator of many AWS services that speaks AppSync Events too.

It lives in a virtual environment of its own, made when it is needed for the first time from the
versions in ``ministack.txt``: natless never depends on it. It is measured as it comes: its
authorization is off by default, ours is on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

VERSIONS = Path(__file__).parent / "ministack.txt"
INSTALL_BUDGET = 300.0  # seconds
ANSWER_BUDGET = 10.0

_WHO = "AWS4-HMAC-SHA256 Credential=bench/20300101/us-east-1/appsync/aws4_request"


class CannotInstall(Exception):
    """It cannot be had here; the text says why."""


def version() -> str:
    """The version that is pinned."""
    (line,) = [one for one in VERSIONS.read_text().split() if one.startswith("ministack==")]
    return line.partition("==")[2]


def install(directory: Path) -> Path:
    """Makes the virtual environment, unless that was done before; returns the program.

    Raises:
        CannotInstall: pip said why.
    """
    place = directory / f"ministack-{version()}"
    program = place / "bin" / "ministack"
    if program.exists():
        return program
    for argv in (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [str(place / "bin" / "pip"), "install", "--quiet", "--no-deps", "-r", str(VERSIONS)],
    ):
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_BUDGET)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotInstall(str(error)) from error
        if done.returncode:
            errors = [one for one in done.stderr.splitlines() if one.startswith("ERROR")]
            raise CannotInstall(errors[-1] if errors else f"{argv[0]} failed")
    return program


def environment(port: int) -> dict[str, str]:
    """What it is told."""
    return {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}


def create_api(port: int) -> tuple[str, str]:
    """Creates an Event API with the namespace ``default``; the hosts for HTTP and real time."""
    modes = [{"authType": "API_KEY"}]
    lists = (
        "authProviders",
        "connectionAuthModes",
        "defaultPublishAuthModes",
        "defaultSubscribeAuthModes",
    )
    wanted = {"name": "bench", "eventConfig": dict.fromkeys(lists, modes)}
    api = _post(port, "/v2/apis", wanted)["api"]
    _post(port, f"/v2/apis/{api['apiId']}/channelNamespaces", {"name": "default"})
    return api["dns"]["HTTP"], api["dns"]["REALTIME"]


def _post(port: int, path: str, body: object) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"Authorization": _WHO, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=ANSWER_BUDGET) as answer:
        return json.load(answer)
