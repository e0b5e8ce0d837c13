"""A machine that cannot hold a lab says why, and nothing is left of the try."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from natless.vpc.netns import can_use_namespaces

ROOT = Path(__file__).resolve().parents[2]

# In a user namespace of its own, a process may forbid itself what an administrator may forbid all.
PREPARE = """
import os, pathlib, sys
from natless.vpc import kernel
uid, gid = os.getuid(), os.getgid()
kernel.unshare(kernel.CLONE_NEWUSER)
kernel.map_user(uid=uid, gid=gid)
"""

NO_NAMESPACES = """
pathlib.Path("/proc/sys/user/max_net_namespaces").write_text("0")
"""

NO_PERMISSION = """
import ctypes, struct
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
# Of the system calls, those named unshare (x86-64: 272, arm64: 97) fail with EPERM.
number = {"x86_64": 272, "aarch64": 97}[os.uname().machine]
code = b"".join(struct.pack("HBBI", *each) for each in (
    (0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)
))
program = Filter(len(code) // 8, code)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
"""

ASK = """
import asyncio, json, tempfile
from natless.errors import EnvironmentLacks
from natless.journal import Journal
from natless.vpc.netns import NetnsVpc, can_use_namespaces

class Nothing:
    certificate = key = pathlib.Path("/dev/null")

async def open_lab():
    with tempfile.TemporaryDirectory() as directory:
        async with NetnsVpc.open(
            label="a" * 26, region="us-east-1", certificate=Nothing(), ca=Nothing.key,
            journal=Journal(), directory=pathlib.Path(directory),
        ):
            raise SystemExit("it was built after all")

try:
    asyncio.run(open_lab())
except EnvironmentLacks as error:
    print(json.dumps([can_use_namespaces(), str(error), error.hint, error.exit_code]))
"""


def ask(*codes):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "".join(codes)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def _namespaces():
    if (reason := can_use_namespaces()) is not None:
        pytest.skip(reason)


def test_a_limit_of_namespaces_is_named():
    reason, message, hint, code = ask(PREPARE, NO_NAMESPACES, ASK)
    assert "ENOSPC" in message
    assert "max_net_namespaces=10000" in hint
    assert reason == f"{message} {hint}"
    assert code == 3


@pytest.mark.skipif(os.uname().machine not in {"x86_64", "aarch64"}, reason="another numbering")
def test_a_filter_of_system_calls_is_named():
    reason, message, hint, code = ask("import os, pathlib, sys\n", NO_PERMISSION, ASK)
    assert "EPERM" in message
    assert "filter of system calls" in message
    assert "seccomp=unconfined" in hint
    assert reason == f"{message} {hint}"
    assert code == 3
