"""What a user installs is what the repository says."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", out],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_holds_the_four_rooms_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "event_protocol",
        "relay",
        "runtime_shim",
        "natless",
    }


def test_the_wheel_carries_the_report_template_and_the_typing_marks(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert [name for name in names if name.startswith("natless/report/templates/")]
    assert "runtime_shim/node_runtime.mjs" in names
    assert "natless/examples/hello/handler.py" in names  # what the demo runs by default
    assert sum(name.endswith("/py.typed") for name in names) == 4
