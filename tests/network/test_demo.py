"""The main job through the public door: `natless demo` on Linux namespaces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import jsonschema
import pytest

from natless.vpc.netns import can_use_namespaces

if TYPE_CHECKING:
    from conftest import OrdinaryUser

ROOT = Path(__file__).parents[2]
NATLESS = Path(sys.executable).with_name("natless")
SCHEMA = json.loads((ROOT / "docs/reference/report.schema.json").read_text())

_reason = can_use_namespaces()
pytestmark = [
    pytest.mark.skipif(_reason is not None, reason=f"no namespaces: {_reason}"),
    pytest.mark.timeout(180),
]


def processes_of(run: Path) -> list[str]:
    """Command lines of living processes that mention this run's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(run).encode() in environment + line and line:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait_until_gone(run: Path, *, budget: float = 10.0) -> list[str]:
    """What is still there when the budget is over; normally nothing, at once."""
    end = time.monotonic() + budget
    left = processes_of(run)
    while left and time.monotonic() < end:
        os.sched_yield()
        left = processes_of(run)
    return left


@pytest.fixture
def run_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that marks everything that a run starts, through TMPDIR."""
    folder = tmp_path / "t"
    folder.mkdir()
    yield folder
    assert wait_until_gone(folder) == []
    assert list(folder.iterdir()) == [], "the run left files behind"


def environment(run: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(run), "NO_COLOR": "1", "COLUMNS": "200"}


def natless(*arguments: str, run: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NATLESS, *arguments],
        capture_output=True,
        text=True,
        env=environment(run),
        cwd=cwd,
        timeout=150,
    )


def test_the_demo_shows_what_every_network_promises_and_says_why(
    run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = natless("demo", "--json", "--out", str(out), run=run_folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    runs = {run["name"]: run for run in document["topologies"]}
    assert list(runs) == ["no-vpc", "nat", "no-nat", "endpoint"]
    assert {name: run["seen"] for name, run in runs.items()} == {
        "no-vpc": "works",
        "nat": "works",
        "no-nat": "connect: no answer in 3.0 s",
        "endpoint": "upgrade: HTTP 403 from 10.0.9.10",
    }
    assert {name: run["by"] for name, run in runs.items()} == {
        "no-vpc": {"worker": 20},
        "nat": {"worker": 20},
        "no-nat": {"deployed": 20},
        "endpoint": {"deployed": 20},
    }
    assert all(run["kept"] and run["answered"] == 20 for run in runs.values())
    verdict = runs["no-nat"]["verdict"]["sentence"]
    assert "198.51.100.10" in verdict
    assert "route table has no way out" in verdict
    assert "NAT gateway" in verdict
    assert "interface endpoint" in runs["endpoint"]["verdict"]["sentence"]
    assert json.loads((out / "report.json").read_text()) == document
    assert "<!doctype html>" in (out / "report.html").read_text()[:200].lower()


def test_the_relay_sees_the_peer_that_each_network_translates_to(
    run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["--topology", "no-vpc", "--topology", "nat", "--invocations", "2"]
    junit = tmp_path / "ci" / "junit.xml"
    done = natless("demo", *arguments, "--out", str(out), "--junit", str(junit), run=run_folder)
    assert done.returncode == 0, done.stderr
    cases = ElementTree.parse(junit).getroot().findall(".//testcase")
    assert [case.get("name") for case in cases] == ["no-vpc", "nat"]
    facts = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    peers = {
        fact["peer"]
        for fact in facts
        if fact["kind"] == "relay.connection.opened" and fact["transport"] == "realtime"
    }
    assert peers == {"127.0.0.1", "198.51.100.3", "198.51.100.2"}


def test_no_secret_of_a_run_reaches_its_report_or_its_journal(
    run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["--topology", "nat", "--invocations", "2", "--out", str(out)]
    done = natless("demo", *arguments, run=run_folder)
    assert done.returncode == 0, done.stderr
    written = "".join(path.read_text() for path in out.iterdir()) + done.stdout + done.stderr
    assert "da2-" not in written
    assert "PRIVATE KEY" not in written


def test_the_demo_needs_no_root(ordinary_user: OrdinaryUser) -> None:
    check = "import natless.vpc.netns as n; print(n.can_use_namespaces())"
    said = ordinary_user.run(["-c", check])
    if said.stdout.strip() != "None":
        pytest.skip(f"an ordinary user has no namespaces here: {said.stdout}{said.stderr}")
    done = ordinary_user.run(["-m", "natless.cli", "demo", "--invocations", "4", "--json"])
    assert done.returncode == 0, done.stderr
    assert all(run["kept"] for run in json.loads(done.stdout)["topologies"])
    assert wait_until_gone(ordinary_user.home) == []


@pytest.mark.usefixtures("terminal_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["start", "network", "relay", "no-nat"])
def test_a_demo_that_is_ended_leaves_nothing(
    number: signal.Signals, moment: str, tmp_path: Path
) -> None:
    run = tmp_path / "t"
    run.mkdir()
    process = subprocess.Popen(
        [NATLESS, "demo", "--topology", "no-nat", "--json", "--out", str(tmp_path / "out")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(run),
        cwd=ROOT,
    )
    assert process.stderr is not None
    said = []
    with process:
        if moment != "start":
            for line in process.stderr:
                said.append(line)
                if json.loads(line)["step"].startswith(moment):
                    break
        process.send_signal(number)
        said += process.stderr.readlines()
    assert wait_until_gone(run) == []
    if number == signal.SIGINT and moment != "start":
        assert process.returncode == 130, said
        assert not any("Traceback" in line for line in said)
        assert list(run.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--topology", "no-nta"], 2, ["no-nta", "no-nat"]),
        (["--network", "dokcer"], 2, ["demo.network", "netns", "docker"]),
        (["/nowhere"], 2, ["/nowhere", "no such folder"]),
        (["--handler", "nothing.here"], 2, ["nothing.py"]),
        (["--handler", "nodot"], 2, ["handler"]),
        (["--invocations", "0"], 2, ["invocations"]),
        (["--handler", "../x.y"], 2, ["../x.y", "leaves the folder"]),
        (["--out", "/proc/nowhere"], 2, ["/proc/nowhere", "--out"]),
        (["--junit", "/proc/nowhere/j.xml"], 2, ["/proc/nowhere", "--junit"]),
        (["--config", "/nowhere.toml"], 2, ["/nowhere.toml"]),
    ],
)
def test_bad_input_gets_one_clear_error_with_the_next_step(
    arguments: list[str], code: int, words: list[str], run_folder: Path
) -> None:
    done = natless("demo", *arguments, run=run_folder)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert done.stdout == ""


def test_a_run_that_is_refused_leaves_the_last_report_as_it_was(
    run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("journal.jsonl", "report.json", "report.html"):
        (out / name).write_text("of the last run")
    environment = os.environ | {"TMPDIR": str(run_folder), "DOCKER_HOST": "unix:///nowhere.sock"}
    for arguments in (["/nowhere"], ["--network", "docker"], ["--topology", "no-nta"]):
        done = subprocess.run(
            [NATLESS, "demo", *arguments, "--out", out],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert done.returncode in (2, 3), done.stderr
        assert {path.name: path.read_text() for path in out.iterdir()} == dict.fromkeys(
            ("journal.jsonl", "report.json", "report.html"), "of the last run"
        )


@pytest.mark.usefixtures("terminal_signals")
def test_a_run_that_is_stopped_leaves_the_last_report_as_it_was(tmp_path: Path) -> None:
    out, run = tmp_path / "out", tmp_path / "t"
    for folder in (out, run):
        folder.mkdir()
    (out / "journal.jsonl").write_text("of the last run")
    process = subprocess.Popen(
        [NATLESS, "demo", "--topology", "no-nat", "--json", "--out", out],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(run),
    )
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if json.loads(line)["step"].startswith("no-nat"):
                break
        process.send_signal(signal.SIGHUP)
        said = process.stderr.read()
    assert process.returncode == 129
    assert "the terminal is gone; nothing is left running" in said
    assert [path.read_text() for path in out.iterdir()] == ["of the last run"]
    assert wait_until_gone(run) == []


def test_a_broken_settings_file_is_named_with_its_line(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "natless.toml").write_text("[demo]\ninvocations = = 3\n")
    done = natless("demo", run=run_folder, cwd=tmp_path)
    assert done.returncode == 2
    assert "natless.toml" in done.stderr
    assert "line 2" in done.stderr
    (tmp_path / "natless.toml").write_text("[demo]\nspeed = 3\n")
    done = natless("demo", run=run_folder, cwd=tmp_path)
    assert done.returncode == 2
    assert "demo.speed" in done.stderr
