"""What GitHub would run is there: targets, commands, files, and the inputs of our own action."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from natless.cli.__main__ import app

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github").rglob("*.yml")
}
PLACEHOLDER = re.compile(r"\$\{\{ (.+?) \}\}")


def steps() -> list[tuple[str, dict[str, Any]]]:
    found = [("action", step) for step in ACTION["runs"]["steps"]]
    for workflow in WORKFLOWS.values():
        for name, job in workflow["jobs"].items():
            found += [(name, step) for step in job["steps"]]
    return found


def scripts() -> list[Any]:
    return [
        pytest.param(step["run"], id=f"{job}-{number}")
        for number, (job, step) in enumerate(steps())
        if "run" in step
    ]


def commands(script: str) -> Iterator[list[str]]:
    for line in PLACEHOLDER.sub("x", script).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and (words[0] in {"sudo", "env"} or "=" in words[0]):
            words = words[1:]
        if words:
            yield words


def test_there_are_scripts_to_look_at() -> None:
    assert len(scripts()) > 8


@pytest.mark.parametrize("script", scripts())
def test_a_script_is_one_that_bash_can_read(script: str) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=PLACEHOLDER.sub("x", script), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", scripts())
def test_what_a_script_starts_is_in_the_repository(script: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for words in commands(script):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, flags=re.MULTILINE), words
            given = [word.partition("=")[2] for word in words if word.startswith("ARGS=")]
            if words[1] in {"demo", "doctor"}:
                parse_command_line([words[1], *shlex.split(" ".join(given))])
            for path in re.findall(r"\btests/\S+", " ".join(given)):
                assert (ROOT / path).exists(), path
        elif words[0].endswith("/natless"):
            parse_command_line(words[1:])
        elif words[0].startswith(".venv/"):
            assert words[:3] == [".venv/bin/python", "-m", "pytest"]
            assert (ROOT / words[3]).exists()


def parse_command_line(words: list[str]) -> None:
    """Fails when there is no such command, option or choice."""
    root: Any = typer.main.get_command(app)
    command = root.commands[words[0]]
    command.make_context(words[0], list(words[1:]))


@pytest.mark.parametrize("uses", sorted({step["uses"] for _, step in steps() if "uses" in step}))
def test_what_is_used_is_of_a_stated_version_or_our_own(uses: str) -> None:
    assert uses == "./" or re.fullmatch(r"actions/[\w-]+@v\d+", uses)


def test_every_input_is_described_has_a_default_and_is_used() -> None:
    used = set(re.findall(r"\$\{\{ inputs\.(\w+) \}\}", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])
    for name, known in ACTION["inputs"].items():
        assert known["description"].endswith("."), name
        assert isinstance(known["default"], str), name
        assert not known.get("required"), name


def test_what_the_action_sets_is_what_compose_reads_and_the_defaults_are_the_same() -> None:
    composed = (ROOT / "docker" / "compose.yaml").read_text()
    defaults = dict(re.findall(r"\$\{(NATLESS_\w+):-([^}]*)\}", composed))
    (step,) = ACTION["runs"]["steps"]
    for variable, value in step["env"].items():
        name = PLACEHOLDER.sub(r"\1", value).removeprefix("inputs.")
        if variable.startswith("NATLESS_"):
            assert defaults[variable] == ACTION["inputs"][name]["default"], variable
    assert set(re.findall(r"\bNATLESS_\w+", step["run"])) <= set(defaults)


def calls_of_the_action() -> Iterator[dict[str, str]]:
    for _, step in steps():
        if step.get("uses") == "./":
            yield step["with"]
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block in re.findall(r"```yaml\n(.*?)```", path.read_text(), flags=re.DOTALL):
            for step in yaml.safe_load(block) if block.startswith("- ") else ():
                if str(step.get("uses", "")).startswith("natless/natless@"):
                    yield step["with"]


def test_whoever_calls_the_action_names_inputs_that_it_has() -> None:
    calls = list(calls_of_the_action())
    assert len(calls) > 1
    for given in calls:
        assert set(given) <= set(ACTION["inputs"]), given


def test_outputs_that_are_read_are_written() -> None:
    texts = [path.read_text() for path in (ROOT / ".github").rglob("*.yml")]
    texts += [path.read_text() for path in (ROOT / "docs" / "howto").glob("*.md")]
    read = set(re.findall(r"steps\.lab\.outputs\.(\w+)", "".join(texts)))
    assert read == set(ACTION["outputs"])


def test_every_input_and_output_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "howto" / "use-in-ci.md").read_text()
    for name, known in ACTION["inputs"].items():
        assert f"| `{name}` | {known['description']} | `{known['default']}` |" in page, name
    for name, known in ACTION["outputs"].items():
        assert f"`{name}`" in page, known


def test_every_job_ends_and_may_only_read() -> None:
    for workflow in WORKFLOWS.values():
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            assert 0 < job["timeout-minutes"] <= 60, name


def test_the_python_versions_that_are_tested_are_those_that_are_offered() -> None:
    offered = re.findall(
        r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text()
    )
    (workflow,) = WORKFLOWS.values()
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == offered
