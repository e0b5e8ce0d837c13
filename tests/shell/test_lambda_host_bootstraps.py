"""Any bootstrap: a shell script, a compiled program, and what a wrapper makes of a managed runtime.

AWS's client for Python has a file of its own; SST's bridge and AWS's client for Node.js are among
the conformance tests, as they come from npm.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from natless.journal import Fact, Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, InvokeResult, LambdaHost
from natless.worker.process import python_client
from tests.shell.lambda_scripts import until

SHELL = r"""#!/bin/sh
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
heads=$(mktemp)
trap 'rm -f "$heads"' EXIT
echo "loaded $_HANDLER"
while true; do
    event=$(curl -sS -D "$heads" "$api/invocation/next")
    id=$(sed -n 's/^lambda-runtime-aws-request-id: *\([^[:space:]]*\).*/\1/Ip' "$heads")
    echo "got $event"
    case $event in
        *fail*) curl -sS -o "$heads" -H "Lambda-Runtime-Function-Error-Type: Function.Shell" \
            -d '{"errorType":"Shell","errorMessage":"no"}' "$api/invocation/$id/error" ;;
        *) curl -sS -o "$heads" -d "{\"shell\":$event}" "$api/invocation/$id/response" ;;
    esac
done
"""


def compile_c(folder: Path) -> None:
    if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
        pytest.skip("there is no C compiler on this machine")
    source = Path(__file__).with_name("bootstrap.c")
    command = [
        compiler,
        "-O1",
        "-D_GNU_SOURCE",
        "-DVERSION=7",
        "-w",
        str(source),
        "-o",
        "bootstrap",
    ]
    subprocess.run(command, cwd=folder, check=True)


def write_shell(folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    write(folder / "bootstrap", SHELL)


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Function:
    def __init__(self, folder: Path, *argv: str, **options) -> None:
        self.facts: list[Fact] = []
        journal = Journal()
        journal.listen(self.facts.append)
        argv = argv or (str(folder / "bootstrap"),)
        spec = FunctionSpec("f", "app.handler", folder, argv, **options)
        self.host = LambdaHost(spec, launcher=HostLauncher(), journal=journal)

    @property
    def log(self) -> list[str]:
        return [fact.data["line"] for fact in self.facts if fact.kind == "lambda.log"]


def body(result: InvokeResult) -> object:
    assert result.status == 200
    return json.loads(result.payload)


async def test_a_shell_script_with_curl_is_a_runtime(tmp_path):
    write_shell(tmp_path)
    function = Function(tmp_path)
    async with function.host as host:
        assert body(await host.invoke(b'{"n":1}')) == {"shell": {"n": 1}}
        failed = await host.invoke(b'"fail"')
        assert (failed.function_error, failed.error_type) == ("Unhandled", "Function.Shell")
        assert body(await host.invoke(b"2", log_tail=True)) == {"shell": 2}
        assert len(host.worker_ids) == 1
    assert function.log[:2] == ["loaded app.handler", 'got {"n":1}']


async def test_a_compiled_program_is_a_runtime(tmp_path):
    await asyncio.to_thread(compile_c, tmp_path)
    async with Function(tmp_path).host as host:
        for number in range(3):
            assert body(await host.invoke(str(number).encode())) == [7, number]
        assert len(host.worker_ids) == 1


HANDLER = """
import os, sys

def handler(event, context):
    return [os.environ.get("WRAPPED"), sys.argv[1:], os.environ.get("AWS_LAMBDA_EXEC_WRAPPER")]
"""
WRAPPER = """#!/bin/sh
echo "wrapping $#"
export WRAPPED=yes
exec "$@" more
"""


@pytest.mark.parametrize("kind", ["own client", "awslambdaric"])
async def test_a_wrapper_starts_a_managed_runtime_with_what_it_adds(tmp_path, kind):
    command = (sys.executable, "-I", "-B", str(python_client()))
    if kind == "awslambdaric":
        pytest.importorskip("awslambdaric", reason="awslambdaric is published for Linux only")
        command = (sys.executable, "-m", "awslambdaric", "app.handler")
    (tmp_path / "app.py").write_text(HANDLER)
    write(tmp_path / "wrapper", WRAPPER)
    path = str(tmp_path / "wrapper")
    function = Function(
        tmp_path, *command, takes_wrapper=True, environment={"AWS_LAMBDA_EXEC_WRAPPER": path}
    )
    async with function.host as host:
        wrapped, argv, variable = body(await host.invoke(b"{}"))
    assert (wrapped, argv[-1], variable) == ("yes", "more", path)
    assert function.log[0] == f"wrapping {len(command)}"


@pytest.mark.parametrize(
    ("mode", "status", "word"), [(None, 127, "does not exist"), (0o644, 126, "not an executable")]
)
async def test_a_wrapper_that_cannot_be_started_ends_the_runtime(tmp_path, mode, status, word):
    (tmp_path / "app.py").write_text(HANDLER)
    path = tmp_path / "wrapper"
    if mode is not None:
        path.touch(mode=mode)
    function = Function(
        tmp_path,
        sys.executable,
        str(python_client()),
        takes_wrapper=True,
        environment={"AWS_LAMBDA_EXEC_WRAPPER": str(path)},
    )
    async with function.host as host:
        error = body(await host.invoke(b"{}"))
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith(f"exit status {status}")
    assert word in function.log[0]


async def test_an_os_only_runtime_does_not_look_at_the_wrapper(tmp_path):
    write_shell(tmp_path)
    write(tmp_path / "wrapper", WRAPPER)
    environment = {"AWS_LAMBDA_EXEC_WRAPPER": str(tmp_path / "wrapper")}
    function = Function(tmp_path, environment=environment)
    async with function.host as host:
        assert body(await host.invoke(b"1")) == {"shell": 1}
    assert "wrapping" not in " ".join(function.log)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
async def test_what_a_bootstrap_has_started_ends_with_it(tmp_path):
    write_shell(tmp_path)
    function = Function(tmp_path)
    async with function.host as host:
        await host.invoke(b"1")
        await host.settled()
        [started] = [f for f in function.facts if f.kind == "lambda.environment.started"]
        group = started.data["pid"]
        assert len(running_in(group)) == 2, "the shell, and curl that waits for the next event"
    await until(lambda: not running_in(group))


def running_in(group: int) -> list[str]:
    """The names of the processes in a group that have not ended."""
    names = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, rest = path.read_text().rpartition(") ")
            state, _, its_group, *_ = rest.split()
            if int(its_group) == group and state not in "ZX":
                names.append(head.partition("(")[2])
    return names
