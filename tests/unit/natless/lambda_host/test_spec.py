"""What a function's command is, with a wrapper and without; run for real, as it is plain shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from natless.lambda_host.spec import FunctionSpec

BOOTSTRAP = ("/bin/echo", "runtime", "two words", "$HOME")


def spec(wrapper: str, *, takes_wrapper: bool = True) -> FunctionSpec:
    environment = {"AWS_LAMBDA_EXEC_WRAPPER": wrapper} if wrapper else {}
    return FunctionSpec(
        "f", "a.b", Path("/"), BOOTSTRAP, environment=environment, takes_wrapper=takes_wrapper
    )


def run(some: FunctionSpec) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        some.command, env=dict(some.environment), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("some", [spec(""), spec("/opt/wrapper", takes_wrapper=False)])
def test_without_a_wrapper_the_bootstrap_is_started_itself(some):
    assert some.command == BOOTSTRAP


def test_a_wrapper_gets_the_whole_command_line_and_may_change_it(tmp_path):
    wrapper = tmp_path / "my wrapper"
    wrapper.write_text('#!/bin/sh\nexport ADDED=1\nexec "$@" "added $ADDED"\n')
    wrapper.chmod(0o755)
    done = run(spec(str(wrapper)))
    assert (done.returncode, done.stdout) == (0, "runtime two words $HOME added 1\n")


def test_a_wrapper_that_is_not_there_ends_the_runtime_as_on_lambda(tmp_path):
    done = run(spec("/no/such/wrapper"))
    assert (done.returncode, done.stdout) == (127, "/no/such/wrapper: does not exist\n")


def test_a_wrapper_that_may_not_be_executed_ends_the_runtime_as_on_lambda(tmp_path):
    wrapper = tmp_path / "wrapper"
    wrapper.touch(mode=0o644)
    done = run(spec(str(wrapper)))
    assert (done.returncode, done.stdout) == (126, f"{wrapper}: is not an executable\n")
