"""The pytest plugin and ``natless.open_lab``, as the how-to page shows them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from natless.vpc.netns import can_use_namespaces

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/howto/use-in-pytest.md").read_text(encoding="utf-8")

_reason = can_use_namespaces()
needs_namespaces = pytest.mark.skipif(_reason is not None, reason=f"no namespaces: {_reason}")


def write_files_of_the_page(folder: Path) -> None:
    """The files of the page, each under the name in its first line."""
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        path = folder / code.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_files_of_the_page(tmp_path)
    return tmp_path


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    scratch = project / "t"
    scratch.mkdir(exist_ok=True)
    # Where CI is set, pytest's summary repeats whole messages.
    own = {k: v for k, v in os.environ.items() if not k.startswith(("NATLESS_", "PYTEST_", "CI"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=project,
        env=own | {"TMPDIR": str(scratch), "NO_COLOR": "1", "COLUMNS": "120"} | environment,
        timeout=100,
    )
    assert not list(scratch.glob("natless-*")), "the lab left its folder behind"
    return done


def run_pytest(
    project: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    flags = ["-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "-W", "error"]
    return run(project, *flags, *arguments, **environment)


def test_whoever_installs_natless_has_the_fixture() -> None:
    found = {each.name: each.value for each in entry_points(group="pytest11")}
    assert found.get("natless") == "natless.pytest_plugin", "run: make setup"


@needs_namespaces
def test_the_tests_of_the_page_pass(project: Path) -> None:
    done = run_pytest(project, "--natless-report", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
    assert f"natless: {Path('out/report.html')}" in done.stdout
    runs = json.loads((project / "out/report.json").read_text())["topologies"]
    assert {run["name"]: run["total"] for run in runs} == {
        "nat": 8,
        "no-nat": 2,
        "endpoint": 1,
        "dns-nxdomain": 1,
    }
    assert "no-route-out" in (project / "out/report.html").read_text()


@needs_namespaces
def test_the_lab_of_the_page_works_without_pytest(project: Path) -> None:
    done = run(project, "check.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "endpoint: upgrade: HTTP 403 from 10.0.9.10, answered by deployed"
    )
    assert "[endpoint-captures]" in done.stdout


@needs_namespaces
def test_a_failed_test_shows_its_calls_and_a_wrong_name_is_explained(project: Path) -> None:
    (project / "tests/test_orders.py").write_text(
        "import pytest\n"
        "def test_fails(natless_lab):\n"
        "    natless_lab.invoke({})\n"
        "    assert natless_lab.invoke({'id': 1}).by == 'deployed'\n"
        "def test_wrong_name(natless_lab):\n"
        "    natless_lab.use('no-nta')\n"
        "@pytest.mark.natless('no-nta')\n"
        "def test_wrong_marker(natless_lab):\n"
        "    pass\n"
        "@pytest.mark.natless()\n"
        "def test_empty_marker(natless_lab):\n"
        "    pass\n"
        "def test_no_json(natless_lab):\n"
        "    natless_lab.invoke({1})\n"
        "def test_cold_start(natless_lab):\n"
        "    natless_lab.invoke({'id': 1})\n"
        "    assert not natless_lab.invoke({'id': 1}).record.cold\n"
        "    natless_lab.restart()\n"
        "    assert natless_lab.invoke({'id': 1}).record.cold\n"
    )
    done = run_pytest(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "3 failed, 1 passed, 2 errors" in done.stdout
    assert '@pytest.mark.natless("no-nat")' in done.stdout
    assert "the event is not JSON" in done.stdout
    _, _, calls = done.stdout.partition("natless calls")
    assert re.search(
        r"1\. nat: works, handler fails, answered by worker in .*\n  error: KeyError", calls
    )
    assert "  handler: [ERROR] KeyError: 'id'" in calls
    assert "2. nat: works, answered by worker in" in calls
    assert done.stdout.count("next: Did you mean 'no-nat'?") == 2
    assert "loop_thread.py" not in done.stdout, "the traceback leads through natless"


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ([], 1, "no Docker engine answers"),
        (["-o", "natless_missing=skip"], 0, "skipped"),
    ],
)
def test_a_machine_without_a_network_fails_or_skips_as_it_was_told(
    project: Path, flags: list[str], code: int, words: str
) -> None:
    arguments = ["--natless-network", "docker", "-k", "my_code", "-rs", *flags]
    done = run_pytest(project, *arguments, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout
    assert "Traceback" not in done.stdout


def test_settings_that_are_wrong_are_told_without_a_traceback(project: Path) -> None:
    (project / "conftest.py").unlink()
    (project / "natless.toml").write_text("[function]\nfolder = 'src/nowhere'\n")
    done = run_pytest(project, "-k", "my_code")
    assert done.returncode == 1
    assert "src/nowhere: no such folder" in done.stdout
    assert "Traceback" not in done.stdout


def test_tests_that_use_no_lab_import_nothing_of_natless(project: Path) -> None:
    (project / "tests/test_orders.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    ours = {n for n in sys.modules if n.split('.')[0] in ('natless', 'event_protocol')}\n"
        "    assert ours == {'natless', 'natless.pytest_plugin'}, ours\n"
    )
    done = run_pytest(project)
    assert done.returncode == 0, done.stdout
