"""What the doctor prints, and how it exits."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

import natless.doctor
from natless.cli.doctor import doctor
from natless.doctor import Ability, Finding, State

OK = Finding("python", State.OK, "Python 3.11")
NO_DOCKER = Finding(
    "docker engine", State.LACKS, "not there", "Install it.", (Ability.DOCKER, Ability.COMPOSE)
)
NO_NAMESPACES = Finding("namespaces", State.LACKS, "forbidden", "sudo sysctl", (Ability.NETNS,))
PORTS = Finding("ports", State.WARNING, "in use", "take another")


def run(monkeypatch: pytest.MonkeyPatch, findings: list[Finding], *arguments: str) -> Any:
    monkeypatch.setattr(natless.doctor, "examine", lambda: iter(findings))
    monkeypatch.setattr(natless.doctor, "sweep", lambda: ("/tmp/natless-dead",))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: shutil.os.terminal_size((80, 24)))
    app = Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, arguments)


def test_what_works_is_one_line_each_and_the_end_says_what_the_machine_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = run(monkeypatch, [OK])
    assert result.exit_code == 0
    first, empty, *end = result.stdout.splitlines()
    assert first.split() == ["ok", "python", "Python", "3.11"]
    assert empty == ""
    assert " ".join(end) == (
        "`natless demo`, `natless demo --network docker` and `docker compose up` work on this"
        " machine. next: natless demo"
    )


@pytest.mark.parametrize(("finding", "mark"), [(NO_DOCKER, "NO"), (PORTS, "warning")])
def test_what_lacks_or_warns_comes_with_its_fix_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, finding: Finding, mark: str
) -> None:
    result = run(monkeypatch, [OK, finding])
    assert result.exit_code == 0
    line, fix = result.stdout.splitlines()[1:3]
    assert line.startswith(mark)
    assert line.endswith(f"  {finding.said}")
    assert fix.strip() == f"fix: {finding.fix}"


def test_where_nothing_works_all_is_tried_and_the_code_is_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = run(monkeypatch, [NO_NAMESPACES, NO_DOCKER, OK])
    assert result.exit_code == 3
    assert "Python 3.11" in result.stdout
    assert result.stdout.splitlines()[-2:] == ["next: sudo sysctl", "then: natless doctor"]


@pytest.mark.parametrize(
    ("needs", "code"),
    [
        ((), 0),
        (("demo",), 0),
        (("compose",), 3),
        (("demo", "docker"), 3),
    ],
)
def test_what_is_needed_settles_the_code(
    monkeypatch: pytest.MonkeyPatch, needs: tuple[str, ...], code: int
) -> None:
    flags = [part for need in needs for part in ("--need", need)]
    result = run(monkeypatch, [OK, NO_DOCKER], *flags)
    assert result.exit_code == code
    assert ("needed and not working" in result.stderr) is (code == 3)


def test_something_else_cannot_be_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, [OK], "--need", "tea").exit_code == 2


@pytest.mark.parametrize(("lacks", "code"), [([NO_DOCKER], 0), ([NO_DOCKER, NO_NAMESPACES], 3)])
def test_machines_get_one_document_also_when_nothing_works(
    monkeypatch: pytest.MonkeyPatch, lacks: list[Finding], code: int
) -> None:
    result = run(monkeypatch, [OK, *lacks], "--json", "--sweep")
    assert result.exit_code == code
    said = json.loads(result.stdout)
    works = code == 0
    assert said["works"] == {"demo": works, "netns": works, "docker": False, "compose": False}
    assert said["sentence"].endswith(".")
    assert said["next"]
    assert said["findings"][1] == {
        "name": "docker engine",
        "state": "lacks",
        "said": "not there",
        "fix": "Install it.",
        "needed_for": ["docker", "compose"],
    }


def test_sweeping_says_what_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, [OK], "--sweep").stdout.startswith("removed /tmp/natless-dead\n")
    assert "removed" not in run(monkeypatch, [OK]).stdout


def test_a_long_sentence_is_wrapped_and_a_command_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    long = Finding("x", State.LACKS, "word " * 30, "sudo " + "y" * 100, (Ability.NETNS,))
    lines = run(monkeypatch, [long]).stdout.splitlines()
    fix = next(line for line in lines if "fix:" in line)
    assert fix.endswith("y" * 100)
    assert all(len(line) <= 80 for line in lines if line != fix)
