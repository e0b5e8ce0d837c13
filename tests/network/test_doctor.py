"""``natless doctor`` as a command: it tries the real thing, finds the real lack, leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from natless.run_directory import MARK
from natless.vpc.netns import can_use_namespaces

if TYPE_CHECKING:
    from conftest import OrdinaryUser

ROOT = Path(__file__).parents[2]
NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}

NO_NAMESPACES = """
import os, pathlib, sys
from natless.vpc import kernel
uid, gid = os.getuid(), os.getgid()
kernel.unshare(kernel.CLONE_NEWUSER)
kernel.map_user(uid=uid, gid=gid)
pathlib.Path("/proc/sys/user/max_net_namespaces").write_text("0")
"""

DOCTOR = """
import sys
sys.argv = ["natless", "doctor", "--json", *sys.argv[1:]]
from natless.cli.__main__ import main
main()
"""

PLAIN_DOCTOR = """
import os, sys
os.environ["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
sys.argv = ["natless", "doctor", "--need", "netns"]
from natless.cli.__main__ import main
main()
"""


def ask(
    *codes: str, arguments: tuple[str, ...] = (), **environment: str
) -> tuple[int, dict[str, Any]]:
    """The doctor's exit code, and its document with the findings by name."""
    done = subprocess.run(
        [sys.executable, "-c", "".join(codes), *arguments],
        cwd=ROOT,
        env=os.environ | NO_DOCKER | environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "Traceback" not in done.stderr, done.stderr
    document = json.loads(done.stdout)
    document["findings"] = {each["name"]: each for each in document["findings"]}
    return done.returncode, document


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if (reason := can_use_namespaces()) is not None:
        pytest.skip(reason)


def leave(folder: Path) -> Path:
    """What a killed run leaves: everything but the lock."""
    left = folder / "natless-dead"
    left.mkdir(mode=0o700)
    (left / "server-key.pem").write_text("secret")
    (left / MARK).write_text('{"pid": 1, "command": "natless demo"}')
    return left


def test_where_the_demo_works_and_docker_does_not_both_are_said_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    leave(tmp_path)
    code, said = ask(DOCTOR, arguments=("--sweep",), TMPDIR=str(tmp_path))
    assert code == 0, said
    assert said["works"] == {"demo": True, "netns": True, "docker": False, "compose": False}
    assert said["next"] == ["natless demo"]
    assert "`natless demo` works on this machine" in said["sentence"]
    needed = [each for each in said["findings"].values() if "netns" in each["needed_for"]]
    assert {each["state"] for each in needed} == {"ok"}
    assert "as promised" in said["findings"]["lab"]["said"]
    assert said["findings"]["docker engine"]["state"] == "lacks"
    assert said["findings"]["docker network"]["state"] == "skipped"
    assert said["findings"]["leftovers"]["state"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_machine_with_neither_gets_the_fix_and_code_3(tmp_path: Path) -> None:
    left = leave(tmp_path)
    code, said = ask(NO_NAMESPACES, DOCTOR, TMPDIR=str(tmp_path))
    findings = said["findings"]
    assert code == 3
    assert not any(said["works"].values())
    assert findings["namespaces"]["state"] == "lacks"
    assert "max_net_namespaces=10000" in findings["namespaces"]["fix"]
    assert findings["lab"]["state"] == "skipped"
    assert findings["certificates"]["state"] == "ok"
    assert said["next"] == [findings["namespaces"]["fix"], "natless doctor"]
    assert f"{left} (natless demo, process 1)" in findings["leftovers"]["said"]
    assert list(tmp_path.iterdir()) == [left]


def test_an_ordinary_user_is_told_the_same(ordinary_user: OrdinaryUser) -> None:
    done = ordinary_user.run(["-c", PLAIN_DOCTOR])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "`natless demo` works on this machine" in " ".join(done.stdout.split())
    assert not list(ordinary_user.home.glob("natless-*"))
