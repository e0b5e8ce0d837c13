"""The lab needs no root: the tests of topologies and programs pass for an ordinary user as well."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from natless.vpc.netns import can_use_namespaces

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
BUDGET = 100.0

TESTS = (
    "tests/network/test_vpc_topologies.py::test_every_topology_of_the_catalogue_shows_what_it_promises",
    "tests/network/test_vpc_programs.py",
    "tests/network/test_vpc_end.py::test_a_closed_lab_leaves_no_file_and_no_process",
)


def user():
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def find_python(environment):
    """A Python like ours that the ordinary user may execute, with our packages."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        code = "import sys, pyroute2, pytest, natless; print(*sys.version_info[:2])"
        try:
            done = subprocess.run(
                [candidate, "-c", code], env=environment, capture_output=True, text=True, **user()
            )
        except OSError:
            continue
        if done.stdout.split() == [str(part) for part in sys.version_info[:2]]:
            return candidate
    return None


@pytest.fixture
def home():
    """A directory of the ordinary user's own; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="natless-test-") as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@pytest.mark.timeout(BUDGET + 20)
def test_an_ordinary_user_has_the_same_lab(home):
    if (reason := can_use_namespaces()) is not None:
        pytest.skip(reason)
    packages = [each for each in sys.path if "site-packages" in each]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *packages]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(home / "hypothesis"),
    }
    python = find_python(environment)
    if python is None:
        pytest.skip(f"an ordinary user can execute no Python {sys.version_info[:2]} here")
    options = ("-q", "-k", "not docker", "-p", "no:cacheprovider", f"--basetemp={home}/tests")
    done = subprocess.run(
        [python, "-m", "pytest", *options, *TESTS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUDGET,
        **user(),
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
