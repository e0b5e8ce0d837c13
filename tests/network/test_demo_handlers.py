"""What `natless demo` says of a function that does not do what it should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from natless.vpc.netns import can_use_namespaces

NATLESS = Path(sys.executable).with_name("natless")
SECRET = "hunter2hunter2"
FLAGS = ("--topology", "nat", "--invocations", "1", "--quiet")

_reason = can_use_namespaces()
pytestmark = pytest.mark.skipif(_reason is not None, reason=f"no namespaces: {_reason}")


def run(folder: Path, code: str, *, variable: str = "DB_PASSWORD", value: str = SECRET) -> Any:
    """One call on `nat`: what was reported, and everything that was said."""
    (folder / "handler.py").write_text(code)
    settings = folder / "natless.toml"
    settings.write_text(f"[function]\n[function.environment]\n{variable} = {json.dumps(value)}\n")
    out = folder / "out"
    done = subprocess.run(
        [
            NATLESS,
            "demo",
            folder,
            *FLAGS,
            "--config",
            settings,
            "--out",
            out,
            "--junit",
            out / "junit.xml",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "TMPDIR": str(folder)},
        timeout=60,
    )
    assert "Traceback (most recent call last)" not in done.stderr, done.stderr
    page, junit = (out / "report.html").read_text(), ElementTree.parse(out / "junit.xml")
    report = json.loads((out / "report.json").read_text())["topologies"][0]
    said = {
        "terminal": done.stdout,
        "page": page,
        "junit": junit.getroot().findtext(".//system-out"),
    }
    for path in out.iterdir():  # the journal, too
        assert SECRET not in path.read_text(), path.name
    assert SECRET not in done.stdout + done.stderr
    return done, report, said


def test_an_error_of_the_handler_can_be_found_from_every_form_of_the_report(tmp_path):
    code = (
        "import os\n"
        "def charge(order):\n"
        "    raise ValueError('no price for ' + os.environ['DB_PASSWORD'])\n"
        "def handler(event, context):\n"
        "    return charge(event)\n"
    )
    done, report, said = run(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert (report["verdict"]["cause"], report["answered"]) == ("handler-error", 1)
    result = report["results"][0]
    assert (result["error_type"], result["error_message"]) == ("ValueError", "no price for ***")
    assert [line.partition(":")[0] for line in result["error_trace"]] == ["handler.py"] * 2
    for form, text in said.items():
        for words in ("ValueError: no price for ***", "handler.py:3 in charge", ":5 in handler: "):
            assert words in text, form


def test_a_handler_that_exits_is_an_error_of_the_handler(tmp_path):
    code = "import sys\ndef handler(event, context):\n    sys.exit(3)\n"
    done, report, said = run(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert (report["verdict"]["cause"], report["answered"]) == ("handler-exit", 1)
    for form, text in said.items():
        assert "ended the process with status 3" in " ".join(text.split()), form


def test_a_budget_that_does_not_exist_is_named(tmp_path):
    code = "def handler(event, context):\n    return 1\n"
    done, report, said = run(tmp_path, code, variable="NATLESS_BUDGET_CONNECT_TPC", value="1")
    assert done.returncode == 4
    assert (report["verdict"]["cause"], report["answered"]) == ("guest-refused", 0)
    assert "[function.environment]" in done.stderr
    for form, text in said.items():
        words = (
            "NATLESS_BUDGET_CONNECT_TPC is not a budget; did you mean NATLESS_BUDGET_CONNECT_TCP"
        )
        assert words in " ".join(text.split()), form


def test_the_handlers_file_may_be_named_in_place_of_its_folder(tmp_path):
    (tmp_path / "index.py").write_text("def handler(event, context):\n    return 1\n")
    for place in (tmp_path, tmp_path / "index.py"):
        done = subprocess.run(
            [NATLESS, "demo", place, *FLAGS, "--out", tmp_path / "out"],
            capture_output=True,
            text=True,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "worker" in done.stdout
