"""``natless dev`` and ``natless invoke`` as commands, from outside."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config

from natless.runtimes.node import node_version
from tests.shell.debug_clients import Dap, Inspector
from tests.shell.lambda_scripts import until

NATLESS = (sys.executable, "-P", "-m", "natless.cli")
HANDLER = "import os\ndef handler(event, context):\n    return {}\n"


def environment(**more: str) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("NATLESS_", "AWS_"))}
    return own | {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"} | more


def natless(*argv: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*NATLESS, *argv]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False, **options
    )


@dataclass
class Dev:
    process: asyncio.subprocess.Process
    ready: dict[str, Any]
    folder: Path
    scratch: Path

    def save(self, body: str) -> None:
        (self.folder / "handler.py").write_text(HANDLER.format(body))

    async def get(self, path: str = "") -> Any:
        async with (
            aiohttp.ClientSession() as http,
            http.get(self.ready["url"] + path) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def until(self, body: Any) -> None:
        """Calls until the answer is this one; the test's own time limit bounds it."""
        while (await self.get())[1] != body:
            pass

    async def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def dev(tmp_path: Path, *argv: str, cwd: Path | None = None) -> AsyncIterator[Dev]:
    folder, scratch = tmp_path / "hello", tmp_path / "t"
    scratch.mkdir()
    if not argv:
        argv = (str(folder),)
        folder.mkdir()
        (folder / "handler.py").write_text(HANDLER.format("'first'"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "natless.cli", "dev", *argv, "--port", "0", "--json"),
        cwd=cwd or tmp_path,
        env=environment(TMPDIR=str(scratch)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert line, (await process.communicate())[1].decode()
        yield Dev(process, json.loads(line), folder, scratch)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def processes_with(word: str) -> list[str]:
    """The command lines of this machine that hold a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
            if word.encode() in text and int(path.name) != os.getpid():
                found.append(text.decode(errors="replace"))
    return found


async def test_one_line_says_where_to_call(tmp_path):
    async with dev(tmp_path) as loop:
        [function] = loop.ready["functions"]
        assert loop.ready["event"] == "ready"
        assert function == {
            "name": "hello",
            "arn": "arn:aws:lambda:us-east-1:123456789012:function:hello",
            "url": loop.ready["url"],
            "handler": "handler.handler",
            "runtime": "python",
            "topology": None,
        }
        assert await loop.get() == (200, "first")


async def test_an_edit_shows_at_the_next_call(tmp_path):
    async with dev(tmp_path) as loop:
        assert await loop.get() == (200, "first")
        loop.save("'second'")
        await loop.until("second")


async def test_a_syntax_error_answers_with_its_place_until_it_is_mended(tmp_path):
    async with dev(tmp_path) as loop:
        await loop.get()
        loop.save("(")
        while (answer := await loop.get())[0] == 200:
            pass
        assert answer[1]["errorType"] == "Runtime.UserCodeSyntaxError"
        assert "handler.py, line 3" in answer[1]["errorMessage"]
        loop.save("'mended'")
        await loop.until("mended")


async def test_the_developers_code_answers_and_not_the_deployed_copy(tmp_path):
    async with dev(tmp_path) as loop:
        loop.save("os.environ.get('NATLESS_LIVE')")
        await loop.until("true")


async def test_boto3_invokes_the_function(tmp_path):
    async with dev(tmp_path) as loop:
        loop.save("[event, context.function_name]")

        def call() -> Any:
            client = boto3.client(
                "lambda",
                endpoint_url=loop.ready["invoke"],
                region_name="us-east-1",
                aws_access_key_id="AKIDEXAMPLE",
                aws_secret_access_key="secret",
                config=Config(retries={"total_max_attempts": 1}),
            )
            with contextlib.closing(client):
                answer = client.invoke(FunctionName="hello", Payload=b'{"n": 1}')
                with answer["Payload"] as stream:
                    return answer["StatusCode"], json.load(stream)

        assert await asyncio.to_thread(call) == (200, [{"n": 1}, "hello"])


async def test_several_functions_come_from_the_settings_file(tmp_path):
    for name in ("orders", "mail"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(
            "import os\ndef run(e, c):\n"
            f"    return [c.function_name, os.environ['KIND'], '{name}']\n"
        )
    (tmp_path / "natless.toml").write_text(
        textwrap.dedent("""
            [functions.orders]
            folder = "orders"
            handler = "app.run"
            environment = { KIND = "big" }
            [functions.mail]
            folder = "mail"
            handler = "app.run"
            environment = { KIND = "small" }
        """)
    )
    async with dev(tmp_path, "--config", "natless.toml") as loop:
        names = [each["name"] for each in loop.ready["functions"]]
        assert names == ["orders", "mail"]
        async with aiohttp.ClientSession() as http:
            kinds = {"orders": "big", "mail": "small"}
            for each in loop.ready["functions"] * 5:
                async with http.get(each["url"]) as answer:
                    assert await answer.json() == [each["name"], kinds[each["name"]], each["name"]]


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@needs_node
async def test_a_handler_for_node_runs_by_its_file_and_an_edit_shows_at_the_next_call(tmp_path):
    folder = tmp_path / "orders"
    folder.mkdir()
    code = "export const handler = async (event, context) => [{}, context.functionName];\n"
    (folder / "index.mjs").write_text(code.format(1))
    async with dev(tmp_path, str(folder)) as loop:  # a folder: its handler is found
        [function] = loop.ready["functions"]
        assert (function["handler"], function["runtime"]) == ("index.handler", "nodejs")
        assert await loop.get() == (200, [1, "orders"])
        (folder / "index.mjs").write_text(code.format(2))
        await loop.until([2, "orders"])
        (folder / "index.mjs").write_text("export const handler = (;\n")
        while (answer := await loop.get())[0] == 200:
            pass
        assert answer[1]["errorMessage"].endswith("(index.mjs, line 1)")


async def test_functions_of_several_languages_run_side_by_side(tmp_path):
    for name, file, code in (
        ("tree", "app.py", "def handler(e, c):\n    return [c.function_name, 'python']\n"),
        ("bird", "index.mjs", "export const handler = async (e, c) => [c.functionName, 'node'];\n"),
        ("stone", "app.py", "def handler(e, c):\n    return [c.function_name, 'bootstrap']\n"),
        ("stone", "bootstrap", f"#!/bin/sh\nexec {sys.executable} -m awslambdaric app.handler\n"),
    ):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text(code)
        (tmp_path / name / file).chmod(0o755)
    kinds = {"tree": "python3.11", "bird": "nodejs20.x", "stone": "provided.al2023"}
    if shutil.which("node") is None:
        del kinds["bird"]
    (tmp_path / "natless.toml").write_text(
        "\n".join(
            f"[functions.{name}]\nfolder = '{name}'\nruntime = '{kind}'\n"  # each handler is found
            for name, kind in kinds.items()
        )
    )
    async with dev(tmp_path, "--config", "natless.toml") as loop, aiohttp.ClientSession() as http:
        said = {}
        for each in loop.ready["functions"] * 2:
            async with http.get(each["url"]) as answer:
                name, language = await answer.json(content_type=None)
                said[name] = each["runtime"], language
    words = {"tree": "python", "bird": "node", "stone": "bootstrap"}
    assert said == {name: (kind, words[name]) for name, kind in kinds.items()}


async def test_a_file_may_stand_for_its_folder_and_its_function(tmp_path):
    folder = tmp_path / "mail"
    folder.mkdir()
    (folder / "other.py").write_text("def handler(e, c):\n    return 'other'\n")
    async with dev(tmp_path, str(folder / "other.py")) as loop:
        [function] = loop.ready["functions"]
        assert (function["name"], function["handler"]) == ("mail", "other.handler")
        assert await loop.get() == (200, "other")


@pytest.mark.skipif(importlib.util.find_spec("debugpy") is None, reason="debugpy is not installed")
@needs_node
@pytest.mark.parametrize(
    ("file", "code", "client"),
    [
        ("app.py", "def handler(event, context):\n    n = 1\n    return n\n", Dap),
        (
            "app.mjs",
            "export const handler = async () => {\n  const n = 1;\n  return n;\n};\n",
            Inspector,
        ),
    ],
    ids=["python", "node"],
)
async def test_a_breakpoint_may_hold_a_call_for_longer_than_its_function_may_take(
    tmp_path, file, code, client
):
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / file).write_text(code)
    (tmp_path / "natless.toml").write_text(
        "[function]\nname = 'slow'\nfolder = 'slow'\nhandler = 'app.handler'\ntimeout = 1\n"
    )
    async with dev(tmp_path, "--debug") as loop:
        [function] = loop.ready["functions"]
        attaching = client.attached(function["debug"], (folder / file, 2))
        entering = asyncio.create_task(attaching.__aenter__())
        calling = asyncio.create_task(loop.get())  # the first call, which starts the process
        debugger = await entering
        try:
            assert (await debugger.stopped_at())[1] == 2
            await asyncio.wait({calling}, timeout=2.5)
            assert not calling.done()
            await debugger.go_on()
            assert await calling == (200, 1)
        finally:
            await attaching.__aexit__(None, None, None)
        assert await loop.get() == (200, 1)


@pytest.mark.usefixtures("terminal_signals")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_a_signal_ends_it_and_nothing_is_left(tmp_path, number, status):
    async with dev(tmp_path) as loop:
        here = str(tmp_path)
        loop.save("__import__('time').sleep(60)")
        async with aiohttp.ClientSession() as http:
            calling = asyncio.create_task(http.get(loop.ready["url"]))
            await until(lambda: any("python_runtime" in each for each in processes_with(here)))
            ended, errors = await loop.end(number)
            with contextlib.suppress(aiohttp.ClientError):
                (await calling).close()
        assert ended == status
        assert errors.endswith("nothing is left running\n")
        assert len(errors.splitlines()) == 1
        assert processes_with(str(loop.scratch)) == []
        assert list(loop.scratch.iterdir()) == []
        for url in (loop.ready["url"], loop.ready["invoke"]):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(url.split(":")[2].strip("/"))))


async def test_what_a_killed_loop_had_started_ends_too(tmp_path):
    async with dev(tmp_path) as loop:
        await loop.get()
        assert processes_with(str(loop.scratch))
        await loop.end(signal.SIGKILL)
        await until(lambda: not processes_with(str(loop.scratch)))


async def test_the_next_command_removes_what_a_killed_loop_has_left_and_nothing_else(tmp_path):
    def start_another():
        """A relay whose port is taken: it ends at once, with nothing to say on standard output."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = subprocess.run(
                [*NATLESS, "relay", "--port", str(taken.getsockname()[1])],
                env=environment(TMPDIR=str(tmp_path / "t")),
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 3, done.stderr

    async with dev(tmp_path) as loop:
        (own,) = loop.scratch.iterdir()
        await asyncio.to_thread(start_another)
        assert (own / "task-0" / "handler.py").exists()
        assert await loop.get() == (200, "first")
        await loop.end(signal.SIGKILL)
    assert (own / "server-key.pem").exists()
    await asyncio.to_thread(start_another)
    assert list(loop.scratch.iterdir()) == []


# -- mistakes ------------------------------------------------------------------------------------


def refused(tmp_path: Path, *argv: str) -> list[str]:
    done = natless("dev", *argv, cwd=tmp_path)
    assert done.returncode == 2, done
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("def run(event, context):\n    return 1\n")
    return tmp_path


def test_a_folder_that_is_not_there_is_named(app):
    error, step = refused(app, "nowhere", "--port", "0")
    assert error == "natless: nowhere: no such folder"
    assert "FOLDER --handler" in step


def test_a_handler_that_is_not_there_is_named_with_what_is(app):
    error, step = refused(app, ".", "--handler", "main.run", "--port", "0")
    assert "no main.py and no main.mjs" in error
    assert error.endswith("for the handler 'main.run'")
    assert step.endswith("here is app")


def test_a_handler_that_is_none_is_named(app):
    assert "function.handler" in refused(app, ".", "--handler", "main")[0]


def test_a_runtime_that_does_not_run_here_is_named(app):
    error, step = refused(app, ".", "--handler", "app.run", "--runtime", "java21", "--port", "0")
    assert "function.runtime" in error
    assert "`nodejsN.x`" in step


def test_a_bootstrap_that_may_not_be_executed_is_named(app):
    (app / "bootstrap").write_text("#!/bin/sh\n")
    done = natless("dev", ".", "--runtime", "provided.al2023", "--port", "0", cwd=app)
    error, step = done.stderr.splitlines()
    assert "bootstrap is not executable" in error
    assert "chmod +x" in step


def test_an_interpreter_that_is_not_there_is_named(app):
    (app / "natless.toml").write_text(
        '[function]\nfolder = "."\nhandler = "app.run"\ninterpreter = "no-such-python"\n'
    )
    done = natless("dev", "--port", "0", cwd=app)
    error, step = done.stderr.splitlines()
    assert error == "natless: no-such-python: no such program"
    assert "interpreter" in step


@needs_node
def test_typescript_without_esbuild_says_how_to_get_it(tmp_path):
    (tmp_path / "app.ts").write_text("export const handler = async (n: number) => n;\n")
    if node_version(Path(shutil.which("node"))) >= (22, 18) or shutil.which("esbuild"):
        pytest.skip("this machine can run TypeScript")
    done = natless("dev", "app.ts", "--port", "0", cwd=tmp_path)
    error, step = done.stderr.splitlines()
    assert "app.ts is TypeScript, and there is no esbuild to read it" in error
    assert "npm install --save-dev esbuild" in step


def test_a_bootstrap_that_shall_be_debugged_is_named(app):
    (app / "bootstrap").write_text("#!/bin/sh\n")
    (app / "bootstrap").chmod(0o755)
    (app / "natless.toml").write_text(
        "[function]\nname = 'f'\nfolder = '.'\nruntime = 'provided.al2023'\ndebug = true\n"
    )
    error, _ = refused(app, "--port", "0")
    assert error == "natless: f: a bootstrap cannot be debugged from here"


def test_an_interpreter_without_debugpy_is_named_with_how_to_get_it(app):
    python = app / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    (app / "natless.toml").write_text(
        f"[function]\nfolder = '.'\nhandler = 'app.run'\ninterpreter = '{python}'\n"
    )
    done = natless("dev", "--debug", "--port", "0", cwd=app)
    error, step = done.stderr.splitlines()
    assert error == f"natless: debugpy is not installed for {python}"
    assert step.endswith(f"{python} -m pip install debugpy")


def test_a_port_that_is_taken_is_named(app):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error, step = refused(app, ".", "--handler", "app.run", "--port", str(port))
    assert error == f"natless: port {port} for the Invoke API is in use"
    assert "--port 0" in step


def test_a_topology_that_is_not_there_is_named(app):
    error = refused(app, ".", "--handler", "app.run", "--port", "0", "--topology", "no-nta")[0]
    assert "no-nta" in error


# -- natless invoke ------------------------------------------------------------------------------


async def invoke(loop: Dev, *argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = ("invoke", *argv, "--endpoint", loop.ready["invoke"])
    return await asyncio.to_thread(natless, *command, cwd=loop.folder, input=text)


ECHO = (
    "def handler(event, context):\n"
    "    print('seen', event)\n"
    "    if event == 'fail':\n"
    "        raise ValueError('boom')\n"
    "    return event\n"
)


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[Dev]:
    folder = tmp_path / "echo"
    folder.mkdir()
    (folder / "handler.py").write_text(ECHO)
    async with dev(tmp_path, str(folder)) as loop:
        loop.folder = folder
        yield loop


async def test_invoke_prints_the_answer_and_nothing_else(echo):
    (echo.folder / "event.json").write_text('{"from": "file"}')
    for argv, text, answer in (
        (["echo", "--data", '{"n": 1}'], "", '{"n": 1}\n'),
        (["--file", "event.json"], "", '{"from": "file"}\n'),
        (["--file", "-"], '"piped"', '"piped"\n'),
        ([], "", "{}\n"),
    ):
        done = await invoke(echo, *argv, text=text)
        assert (done.returncode, done.stdout, done.stderr) == (0, answer, "")


async def test_invoke_has_other_forms(echo):
    said = json.loads((await invoke(echo, "echo", "--data", "7", "--json")).stdout)
    assert (said["status"], said["payload"], said["function_error"]) == (200, 7, None)
    assert said["version"] == "$LATEST"
    assert any(line.startswith("REPORT ") for line in said["log"])
    done = await invoke(echo, "echo", "--event")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = await invoke(echo, "echo", "--log", "--data", "7")
    assert done.stdout == "7\n"
    assert "\nREPORT RequestId: " in done.stderr


async def test_a_failed_function_is_a_failed_command(echo):
    done = await invoke(echo, "echo", "--data", '"fail"')
    assert done.returncode == 1
    assert json.loads(done.stdout)["errorMessage"] == "boom"
    assert done.stderr.splitlines()[0] == "natless: echo failed: ValueError: boom"


async def test_a_mistake_is_named_with_the_next_step(echo):
    for argv, words in (
        (["nobody"], ["Function not found", "here is echo"]),
        (["echo", "--data", "{"], ["Could not parse request body into json", "--data"]),
        (["echo", "--data", "1", "--file", "-"], ["both say the event", "leave one out"]),
        (["echo", "--file", "none.json"], ["none.json: No such file", "--file"]),
    ):
        done = await invoke(echo, *argv)
        assert (done.returncode, done.stdout) == (2, "")
        for line, word in zip(done.stderr.splitlines(), words, strict=True):
            assert word in line


def test_without_a_loop_invoke_says_how_to_start_one(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = natless("invoke", "--endpoint", endpoint, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"natless: no Invoke API answers at {endpoint}",
        "   next: start natless dev in another terminal; --endpoint names another address",
    ]


async def test_a_channel_that_delivers_late_is_a_setting(tmp_path):
    folder, journal = tmp_path / "code", tmp_path / "journal.jsonl"
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER.format("'first'"))
    (tmp_path / "natless.toml").write_text("[relay]\nsubscription_lag = 0.4\n")
    async with dev(tmp_path, str(folder), "--journal", str(journal)) as loop:
        assert await loop.get() == (200, "first")
    facts = [json.loads(line) for line in journal.read_text().splitlines()]
    lags = [fact["seconds"] for fact in facts if fact["kind"] == "relay.subscription.live"]
    assert lags == [0.4, 0.4]  # the worker's, and the shim's
    [record] = [fact for fact in facts if fact["kind"] == "shim.invocation"]
    [probe] = [span for span in record["spans"] if span["phase"] == "probe"]
    assert probe["finished"] - probe["started"] > 0.2
