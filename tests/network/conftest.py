"""An ordinary user to run things as, also when the tests run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534
ROOMS = ("event_protocol", "relay", "runtime_shim", "natless", "examples")


@dataclass(frozen=True, slots=True)
class OrdinaryUser:
    """Somebody without rights, who can run this checkout.

    Attributes:
        home: a folder of theirs.
        python: the interpreter that they may run.
        prefix: what makes a command theirs.
        environment: what their processes get.
    """

    home: Path
    python: str
    prefix: tuple[str, ...]
    environment: Mapping[str, str]

    def run(self, argv: Sequence[str], *, budget: float = 150) -> subprocess.CompletedProcess[str]:
        """Runs ``python argv`` as this user."""
        return subprocess.run(
            [*self.prefix, self.python, *argv],
            capture_output=True,
            text=True,
            cwd=self.home,
            env=dict(self.environment),
            timeout=budget,
        )


@pytest.fixture
def ordinary_user() -> Iterator[OrdinaryUser]:
    home = Path(tempfile.mkdtemp(prefix="natless-user-"))
    try:
        yield _make_user(home)
    finally:
        shutil.rmtree(home)


def _make_user(home: Path) -> OrdinaryUser:
    own = {name: str(home) for name in ("HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    environment = {"PATH": os.environ["PATH"], "NO_COLOR": "1", "LANG": "C.UTF-8"} | own
    if os.getuid():
        return OrdinaryUser(home, sys.executable, (), environment)
    # Root's interpreter and checkout may lie where nobody else can read: another interpreter of
    # the same version with a copy of both.
    python = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin:/bin")
    if python is None:
        pytest.skip(f"no Python 3.{sys.version_info.minor} here for an ordinary user")
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    shutil.copytree(site, home / "site", ignore=shutil.ignore_patterns("__pycache__", "*.pth"))
    for room in ROOMS:
        shutil.copytree(ROOT / room, home / room, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return OrdinaryUser(
        home,
        python,
        ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"),
        environment | {"PYTHONPATH": f"{home}:{home / 'site'}"},
    )
