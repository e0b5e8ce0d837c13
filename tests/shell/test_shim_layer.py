"""The layer as Lambda would unpack it: its scripts put the guest in, or get out of the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from event_protocol.phases import Strategy
from natless.shim_layer import LAYER_NAME, build_shim
from tests.shell.shim_peers import (
    Developer,
    Guest,
    ScriptedRelay,
    ScriptedRuntimeApi,
    guest_environment,
    make_certificate,
    respond,
    run_guest,
)

PRINTS = "def handler(event, context): return {'deployed': event}"
HAS_LAMBDAS_PYTHON = any(
    Path(each, "python3").exists() for each in ("/var/lang/bin", "/opt/bin", "/opt/python/bin")
)
SHELL = shutil.which("sh")


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    """``/opt`` with the layer in it, modes and all."""
    build_shim(tmp_path / "dist")
    root = tmp_path / "opt"
    with zipfile.ZipFile(tmp_path / "dist" / LAYER_NAME) as layer:
        for entry in layer.infolist():
            path = Path(layer.extract(entry, root))
            path.chmod(stat.S_IMODE(entry.external_attr >> 16))
    return root


@contextlib.asynccontextmanager
async def environment(
    tmp_path: Path, *argv: str, is_open: bool = False, **more: str
) -> AsyncIterator[tuple[ScriptedRuntimeApi, Guest]]:
    """Whatever Lambda would start, beside a relay that lets in whom it should."""
    ca, context = make_certificate(tmp_path / "tls", "localhost")
    task_root = tmp_path / "task"
    task_root.mkdir(exist_ok=True)
    (task_root / "app.py").write_text(PRINTS)
    relay = ScriptedRelay(Developer())
    if not is_open:
        relay.on_request = respond(403)
    async with ScriptedRuntimeApi().serving() as api, relay.serving(context):
        host = f"localhost:{relay.port}"
        variables = guest_environment(api, host=host, ca=ca, task_root=task_root) | more
        async with run_guest(variables, directory=task_root, argv=argv) as guest:
            yield api, guest


def runtime(tmp_path: Path) -> tuple[str, ...]:
    """What a managed Python runtime hands to a wrapper: the interpreter and its arguments."""
    folder = tmp_path / "a runtime's own"
    folder.mkdir(exist_ok=True)
    script = folder / "bootstrap.py"
    script.write_text(
        "import sys, runpy\n"
        "assert sys.argv[1:] == ['two words', \"it's\", '', '$HOME', '\"'], sys.argv\n"
        "print('the runtime itself', flush=True)\n"
        "sys.argv = ['awslambdaric', 'app.handler']\n"
        "sys.path.insert(0, '')\n"
        "runpy.run_module('awslambdaric', run_name='__main__')\n"
    )
    return (sys.executable, os.fspath(script), "two words", "it's", "", "$HOME", '"')


async def test_the_wrapper_puts_the_guest_in_the_place_of_the_runtime(
    tmp_path: Path, opt: Path
) -> None:
    wrapper = os.fspath(opt / "natless/wrapper")
    async with environment(tmp_path, wrapper, *runtime(tmp_path), is_open=True) as (api, guest):
        posted = await api.ask({"n": 1})
        record = await guest.record()
    assert posted.json == {"echo": {"n": 1}}
    assert record.strategy is Strategy.WORKER


async def test_behind_the_wrapper_the_runtime_is_what_deployed_starts(
    tmp_path: Path, opt: Path
) -> None:
    wrapper = os.fspath(opt / "natless/wrapper")
    async with environment(tmp_path, wrapper, *runtime(tmp_path)) as (api, guest):
        posted = await api.ask({"n": 1})
        record = await guest.record()
    assert posted.json == {"deployed": {"n": 1}}, guest.lines
    assert record.strategy is Strategy.DEPLOYED
    assert "the runtime itself" in guest.lines


async def test_the_wrapper_calls_no_program_but_python(tmp_path: Path, opt: Path) -> None:
    """An image need not have sed, dirname or env."""
    wrapper = os.fspath(opt / "natless/wrapper")
    assert SHELL is not None
    argv = (SHELL, wrapper, *runtime(tmp_path))
    async with environment(tmp_path, *argv, PATH="/nowhere") as (api, guest):
        await api.ask({})
        record = await guest.record()
    assert record.strategy is Strategy.DEPLOYED
    assert not [line for line in guest.lines if "not found" in line]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"NATLESS_REALTIME": ""}, "NATLESS_REALTIME is not set"),
        ({"PATH": "/nowhere"}, "no Python 3.11 or newer here"),
    ],
)
async def test_a_wrapper_that_cannot_help_starts_the_function_as_it_is(
    tmp_path: Path, opt: Path, variables: dict[str, str], reason: str
) -> None:
    runtime_script = tmp_path / "node"  # no interpreter that could run the guest
    runtime_script.write_text(f'#!{SHELL}\necho "as deployed: $*"\n')
    runtime_script.chmod(0o755)
    assert SHELL is not None
    argv = (SHELL, os.fspath(opt / "natless/wrapper"), os.fspath(runtime_script), "a b")
    if HAS_LAMBDAS_PYTHON:
        pytest.skip("this machine has a Python where Lambda's images have theirs")
    async with environment(tmp_path, *argv, **variables) as (_, guest):
        assert await guest.end() == 0
    assert guest.lines[0].startswith(f"natless-shim: {reason}")
    assert guest.lines[1] == "as deployed: a b"


async def test_the_bootstrap_is_the_guest_and_starts_the_functions_own(
    tmp_path: Path, opt: Path
) -> None:
    task_root = tmp_path / "task"
    task_root.mkdir()
    own = task_root / "bootstrap.deployed"
    command = f"exec '{sys.executable}' -m awslambdaric app.handler"
    own.write_text(f"#!{SHELL}\necho the bootstrap itself\n{command}\n")
    own.chmod(0o755)
    async with environment(tmp_path, os.fspath(opt / "bootstrap")) as (api, guest):
        posted = await api.ask({"n": 2})
        record = await guest.record()
    assert posted.json == {"deployed": {"n": 2}}, guest.lines
    assert record.strategy is Strategy.DEPLOYED
    assert "the bootstrap itself" in guest.lines


async def test_a_bootstrap_that_cannot_help_says_so_and_ends(tmp_path: Path, opt: Path) -> None:
    argv = (os.fspath(opt / "bootstrap"),)
    async with environment(tmp_path, *argv, NATLESS_REALTIME="") as (_, guest):
        assert await guest.end() == 1
    assert "NATLESS_REALTIME is not set" in guest.lines[0]


async def test_building_writes_both_files(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "natless.cli",
        "shim",
        "build",
        "--out",
        os.fspath(tmp_path / "out"),
        stdout=asyncio.subprocess.PIPE,
    )
    text, _ = await process.communicate()
    assert process.returncode == 0
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "natless-layer.zip",
        "natless-shim.pyz",
    ]
    assert "natless-layer.zip" in text.decode()
