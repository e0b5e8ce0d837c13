"""Our action, run as GitHub runs it: its script, and then the one of the workflow that uses it."""

import os
import re
import subprocess

import pytest
import yaml

from tests.containers.conftest import PROJECT, ROOT, UP_BUDGET, _free_port

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
_, CALL, SCRIPT = WORKFLOW["jobs"]["action"]["steps"]


def fill(text, values):
    """What GitHub does to ``${{ … }}``."""
    return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: values[found[1]], text)


def run(script, shell, *, folder, **environment):
    """A step as a runner runs it; see GitHub's workflow syntax, ``jobs.<id>.steps[*].shell``."""
    path = folder / "step.sh"
    path.write_text(script)
    return subprocess.run(
        [*shell, path],
        cwd=ROOT,
        env=os.environ | {"COMPOSE_PROJECT_NAME": PROJECT} | environment,
        capture_output=True,
        text=True,
        timeout=UP_BUDGET,
        check=False,
    )


@pytest.fixture(scope="module")
def lab(engine, tmp_path_factory):
    """The action with the workflow's inputs; its outputs."""
    folder = tmp_path_factory.mktemp("action")
    defaults = {name: known["default"] for name, known in ACTION["inputs"].items()}
    given = defaults | CALL["with"] | {"port": str(_free_port())}
    values = {f"inputs.{name}": value for name, value in given.items()}
    (step,) = ACTION["runs"]["steps"]
    environment = {name: fill(value, values) for name, value in step["env"].items()}
    shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
    try:
        done = run(step["run"], shell, folder=folder, GITHUB_ACTION_PATH=str(ROOT), **environment)
        assert done.returncode == 0, done.stderr[-3000:]
        outputs = {
            f"steps.{CALL['id']}.outputs.{name}": fill(known["value"], values)
            for name, known in ACTION["outputs"].items()
        }
        yield folder, outputs
    finally:
        run("docker compose down --timeout 2", ("bash", "-e"), folder=folder)


def test_the_workflow_that_uses_it_gets_what_it_expects(lab):
    folder, outputs = lab
    script = fill(SCRIPT["run"], outputs).replace("verdict.txt", str(folder / "verdict.txt"))
    done = run(script, ("bash", "-e"), folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deployed code" in done.stdout
    assert "no-route-out" in (folder / "verdict.txt").read_text()


def test_a_folder_that_is_not_there_fails_the_step(engine, tmp_path):
    (step,) = ACTION["runs"]["steps"]
    shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
    done = run(
        step["run"],
        shell,
        folder=tmp_path,
        GITHUB_ACTION_PATH=str(ROOT),
        NATLESS_PORT="1",
        APP="no/such/folder",
    )
    assert done.returncode == 1
    assert "no/such/folder" in done.stderr
