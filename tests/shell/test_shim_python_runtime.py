"""The Python runtime client by its path, with any interpreter, against a scripted Runtime API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from natless.shim_archive import python_runtime_path
from tests.shell.shim_peers import ARN, PATIENCE, ScriptedRuntimeApi


@contextlib.asynccontextmanager
async def runtime(
    tmp_path: Path,
    code: str,
    *flags: str,
    python: str = sys.executable,
    handler: str = "app.handler",
    **environment: str,
) -> AsyncIterator[tuple[ScriptedRuntimeApi, asyncio.subprocess.Process]]:
    (tmp_path / "app.py").write_text(code)
    async with ScriptedRuntimeApi().serving() as api:
        process = await asyncio.create_subprocess_exec(
            python,
            *flags,
            os.fspath(python_runtime_path()),
            env={
                "_HANDLER": handler,
                "LAMBDA_TASK_ROOT": os.fspath(tmp_path),
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "f",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            }
            | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield api, process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def output(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.read()).decode()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode().rstrip("\n")


def other_interpreters() -> list[str]:
    """Every other Python 3.9 or later that this machine can run."""
    found = [shutil.which(f"python3.{minor}") for minor in range(9, 16)]
    return [path for path in found if path is not None and _runs(path)]


def _runs(path: str) -> bool:
    check = subprocess.run([path, "-c", "import json"], capture_output=True, check=False)
    return check.returncode == 0


async def test_it_runs_a_handler_with_every_interpreter_there_is(tmp_path: Path) -> None:
    code = "import sys\ndef handler(event, context): return [event, list(sys.version_info[:2])]"
    for python in [sys.executable, *other_interpreters()]:
        async with runtime(tmp_path, code, "-I", python=python) as (api, _):
            posted = await api.ask({"wörd": "ö"})
        assert posted.json[0] == {"wörd": "ö"}, python


async def test_the_context_tells_what_lambda_tells(tmp_path: Path) -> None:
    code = """
import os
def handler(event, context):
    return {
        "id": context.aws_request_id, "name": context.function_name,
        "memory": context.memory_limit_in_mb, "arn": context.invoked_function_arn,
        "stream": context.log_stream_name, "tenant": context.tenant_id,
        "left": 0 < context.get_remaining_time_in_millis() <= 10_000,
        "custom": context.client_context.custom, "env": context.client_context.env,
        "title": context.client_context.client.app_title,
        "pool": context.identity.cognito_identity_pool_id,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
    }
"""
    context = {"custom": {"k": "ü"}, "env": {"e": 1}, "client": {"app_title": "t"}}
    async with runtime(tmp_path, code) as (api, _):
        question = api.put(
            {},
            Lambda_Runtime_Client_Context=json.dumps(context, ensure_ascii=False),
            Lambda_Runtime_Cognito_Identity='{"cognitoIdentityPoolId":"pool"}',
            Lambda_Runtime_Trace_Id="Root=1",
            Lambda_Runtime_Aws_Tenant_Id="tenant",
        )
        answer = (await api.answer(question)).json
    assert answer == {
        "id": question, "name": "f", "memory": "1024", "arn": ARN, "stream": "stream",
        "tenant": "tenant", "left": True, "custom": {"k": "ü"}, "env": {"e": 1}, "title": "t",
        "pool": "pool", "trace": "Root=1",
    }  # fmt: skip


async def test_a_handler_that_raises_is_an_error_and_the_next_call_works(tmp_path: Path) -> None:
    code = """
import asyncio
class Base(BaseException): pass
def inner(event): raise {"v": ValueError, "b": Base, "c": asyncio.CancelledError}[event]("bad ö")
def handler(event, context): return inner(event) if event else "fine"
"""
    async with runtime(tmp_path, code) as (api, process):
        for letter, name in [("v", "ValueError"), ("b", "Base"), ("c", "CancelledError")]:
            posted = await api.ask(letter)
            assert posted.kind == "error"
            assert posted.json["errorMessage"] == "bad ö"
            assert posted.json["errorType"] == name
            assert "in inner" in posted.json["stackTrace"][-1]
            assert "python_runtime" not in "".join(posted.json["stackTrace"])
            assert posted.headers["Lambda-Runtime-Function-Error-Type"] == name
        assert (await api.ask("")).json == "fine"
        assert await line(process) == "[ERROR] ValueError: bad ö"


@pytest.mark.parametrize(
    ("expression", "error_type"),
    [("{1, 2}", "Runtime.MarshalError"), ("handler", "Runtime.MarshalError")],
)
async def test_an_answer_that_is_not_json_is_a_marshal_error(
    tmp_path: Path, expression: str, error_type: str
) -> None:
    async with runtime(tmp_path, f"def handler(e, c): return {expression}") as (api, _):
        posted = await api.ask({})
    assert (posted.kind, posted.json["errorType"]) == ("error", error_type)


async def test_an_event_that_is_not_json_is_an_unmarshal_error(tmp_path: Path) -> None:
    async with runtime(tmp_path, "def handler(e, c): return 1") as (api, _):
        posted = await api.ask(b"{")
        assert posted.json["errorType"] == "Runtime.UnmarshalError"
        assert (await api.ask({})).json == 1


@pytest.mark.parametrize(("argument", "code"), [("0", 0), ("7", 7), ("'bye'", 1), ("", 0)])
async def test_a_handler_that_exits_ends_the_process_with_its_code(
    tmp_path: Path, argument: str, code: int
) -> None:
    text = (
        f"import sys\ndef handler(e, c):\n    print('last words', end='')\n    sys.exit({argument})"
    )
    async with runtime(tmp_path, text) as (api, process):
        api.put({})
        printed = await output(process)
        assert printed.startswith("last words")
        assert await process.wait() == code
        assert api.posted == []


@pytest.mark.parametrize(
    ("code", "handler", "error_type"),
    [
        ("import no_such_module", "app.handler", "Runtime.ImportModuleError"),
        ("", "missing.handler", "Runtime.ImportModuleError"),
        ("def handler(:", "app.handler", "Runtime.UserCodeSyntaxError"),
        ("handler = 7", "app.handler", "Runtime.HandlerNotFound"),
        ("", "app.handler", "Runtime.HandlerNotFound"),
        ("", "app", "Runtime.MalformedHandlerName"),
        ("raise RuntimeError('no database')", "app.handler", "RuntimeError"),
    ],
)
async def test_code_that_cannot_be_loaded_is_an_init_error_and_exit_1(
    tmp_path: Path, code: str, handler: str, error_type: str
) -> None:
    async with runtime(tmp_path, code, handler=handler) as (api, process):
        async with asyncio.timeout(PATIENCE):
            posted = await api.init_error
            assert posted.json["errorType"] == error_type
            assert posted.headers["Lambda-Runtime-Function-Error-Type"] == error_type
            assert f"[ERROR] {error_type}" in await output(process)
            assert await process.wait() == 1


async def test_an_import_that_exits_ends_the_process(tmp_path: Path) -> None:
    async with runtime(tmp_path, "import sys; sys.exit(5)") as (_, process):
        await output(process)
        assert await process.wait() == 5


@pytest.mark.parametrize("handler", ["pkg/deep.handler", "pkg.deep.handler"])
async def test_a_handler_may_be_in_a_folder(tmp_path: Path, handler: str) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "deep.py").write_text("def handler(e, c): return __name__")
    async with runtime(tmp_path, "", "-I", handler=handler) as (api, _):
        assert (await api.ask({})).json == "pkg.deep"


async def test_modules_named_like_the_clients_own_do_not_break_it(tmp_path: Path) -> None:
    for name in ("json", "socket", "logging", "time", "types", "traceback", "io", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hijacked')")
    code = "import json\ndef handler(e, c): return json.dumps(e)"
    for flags in ((), ("-P",), ("-I",)):
        async with runtime(tmp_path, code, *flags, PYTHONPATH=os.fspath(tmp_path)) as (api, _):
            assert (await api.ask({"n": 1})).json == '{"n": 1}'


async def test_a_handler_module_may_have_the_name_of_one_of_the_clients_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "json.py").write_text("def handler(e, c): return 'my json'")
    async with runtime(tmp_path, "", "-I", handler="json.handler") as (api, _):
        assert (await api.ask({})).json == "my json"


async def test_the_folder_of_the_client_is_not_on_the_handlers_path(tmp_path: Path) -> None:
    code = """
import sys
def handler(e, c): return sys.path
"""
    extra = tmp_path / "layer"
    for flags in ((), ("-I",)):
        async with runtime(tmp_path, code, *flags, PYTHONPATH=os.fspath(extra)) as (api, _):
            path = (await api.ask({})).json
        assert path[:2] == [os.fspath(tmp_path), os.fspath(extra)]
        assert os.fspath(python_runtime_path().parent) not in path


async def test_what_a_handler_prints_and_logs_leaves_at_once(tmp_path: Path) -> None:
    code = """
import logging, sys
logging.getLogger().setLevel("INFO")
def handler(event, context):
    print("printed ö")
    logging.getLogger("mine").info("logged %s", event)
    sys.stdout.write("no line end")
    return None
"""
    async with runtime(tmp_path, code, LANG="C", LC_ALL="C") as (api, process):
        question = api.put({"n": 1})
        posted = await api.answer(question)
        assert posted.json is None
        assert await line(process) == "printed ö"
        level, _, request_id, message = (await line(process)).split("\t")
        assert (level, request_id, message) == ("[INFO]", question, "logged {'n': 1}")
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readexactly(11) == b"no line end"


async def test_a_line_is_in_the_log_while_its_handler_still_runs(tmp_path: Path) -> None:
    code = """
import pathlib, time
def handler(event, context):
    print("working")
    while not pathlib.Path(event).exists(): time.sleep(0.01)
"""
    go_on = tmp_path / "go-on"
    async with runtime(tmp_path, code) as (api, process):
        question = api.put(os.fspath(go_on))
        assert await line(process) == "working"
        go_on.touch()
        assert (await api.answer(question)).kind == "response"


async def test_the_nonce_of_an_invocation_is_echoed_on_answers_and_errors(tmp_path: Path) -> None:
    code = "def handler(e, c): return 1 / e"
    async with runtime(tmp_path, code) as (api, _):
        for event in (1, 0):
            posted = await api.ask(event, Lambda_Runtime_Invocation_Id=f"nonce-{event}")
            assert posted.headers["Lambda-Runtime-Invocation-Id"] == f"nonce-{event}"


async def test_numbers_of_dynamodb_and_bytes_can_be_answers(tmp_path: Path) -> None:
    code = """
from decimal import Decimal
def handler(event, context):
    return {"n": Decimal("7"), "x": Decimal("1.5")} if event == "decimal" else b"raw"
"""
    async with runtime(tmp_path, code) as (api, _):
        assert (await api.ask("decimal")).body == b'{"n": 7, "x": 1.5}'
        posted = await api.ask("bytes")
        assert posted.body == b"raw"
        assert posted.headers["Content-Type"] == "application/octet-stream"


async def test_an_answer_that_is_refused_does_not_end_the_client(tmp_path: Path) -> None:
    async with runtime(tmp_path, "def handler(e, c): return e") as (api, process):
        api.status = 413
        await api.ask(1)
        assert "with 413" in await line(process)
        api.status = 202
        assert (await api.ask(2)).json == 2


async def test_a_runtime_api_that_goes_away_ends_the_client(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        address = f"{host}:{port}"
        code = "def handler(e, c): return e"
        async with runtime(tmp_path, code, AWS_LAMBDA_RUNTIME_API=address) as (_, process):
            assert "is lost" in await output(process)
            assert await process.wait() == 1


async def test_six_megabytes_travel_both_ways(tmp_path: Path) -> None:
    async with runtime(tmp_path, "def handler(e, c): return e") as (api, _):
        event = "z" * 6_000_000
        assert (await api.ask(event)).json == event
