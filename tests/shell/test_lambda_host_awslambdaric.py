"""AWS's own runtime client for Python, unmodified, proves the Runtime API."""

import asyncio
import json
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from natless.journal import Fact, Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, InvokeResult, LambdaHost

pytest.importorskip("awslambdaric", reason="awslambdaric is published for Linux only")

HANDLER = """
    import os, sys, time

    def handler(event, context):
        do = event.get("do")
        print("doing", do)
        if do == "raise":
            raise ValueError("boom")
        if do == "unmarshalable":
            return {1, 2}
        if do == "exit":
            sys.exit(3)
        if do == "exit quietly":
            os._exit(0)
        if do == "kill":
            os.kill(os.getpid(), 9)
        if do == "sleep":
            time.sleep(60)
        if do == "large":
            return "x" * 5_000_000
        if do == "too large":
            return "x" * 6_300_000
        if do == "context":
            return {
                "id": context.aws_request_id,
                "arn": context.invoked_function_arn,
                "memory": context.memory_limit_in_mb,
                "stream": context.log_stream_name,
                "left": context.get_remaining_time_in_millis(),
                "custom": context.client_context and context.client_context.custom,
            }
        return event
"""


class Function:
    def __init__(self, host: LambdaHost, facts: list[Fact]) -> None:
        self.host = host
        self.facts = facts

    async def __call__(self, do: str, **options) -> InvokeResult:
        return await self.host.invoke(json.dumps({"do": do}).encode(), **options)


def spec(folder: Path, handler: str = "app.handler", *, timeout: float = 20.0) -> FunctionSpec:
    command = (sys.executable, "-m", "awslambdaric", handler)
    return FunctionSpec("proof", handler, folder, command, timeout=timeout, memory=256)


@pytest.fixture
async def function(tmp_path: Path) -> AsyncIterator[Function]:
    (tmp_path / "app.py").write_text(textwrap.dedent(HANDLER))
    facts: list[Fact] = []
    journal = Journal()
    journal.listen(facts.append)
    async with LambdaHost(spec(tmp_path), launcher=HostLauncher(), journal=journal) as host:
        yield Function(host, facts)


def body(result: InvokeResult) -> dict[str, object]:
    assert result.status == 200
    return json.loads(result.payload)


async def test_events_come_back_one_after_the_other_from_one_process(function):
    for number in range(5):
        result = await function(f"echo {number}")
        assert body(result) == {"do": f"echo {number}"}
        assert result.function_error is None
    started = [fact for fact in function.facts if fact.kind == "lambda.environment.started"]
    assert len(started) == 1


async def test_the_context_says_what_the_host_was_told(function):
    result = await function("context", client_context='{"custom":{"k":"v"}}')
    seen = body(result)
    assert seen["id"] == result.request_id
    assert seen["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:proof"
    assert seen["memory"] == "256"
    assert seen["stream"].endswith(function.host.worker_ids[0])
    assert 0 < seen["left"] <= 20_000
    assert seen["custom"] == {"k": "v"}


async def test_an_exception_of_the_handler_is_a_function_error_with_its_trace(function):
    result = await function("raise", log_tail=True)
    assert result.function_error == "Unhandled"
    error = body(result)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "boom")
    assert "app.py" in error["stackTrace"][0]
    assert b"doing raise" in result.log_tail
    assert b"[ERROR] ValueError: boom" in result.log_tail


async def test_a_value_that_is_not_json_is_a_function_error(function):
    result = await function("unmarshalable")
    assert body(result)["errorType"] == "Runtime.MarshalError"


async def test_an_event_that_is_not_json_is_a_function_error(function):
    result = await function.host.invoke(b"not json")
    assert body(result)["errorType"] == "Runtime.UnmarshalError"


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("exit", "exited with error: exit status 3"),
        ("exit quietly", "exited without providing a reason"),
        ("kill", "exited with error: signal: killed"),
    ],
)
async def test_a_handler_that_ends_its_process_costs_one_invocation(function, do, words):
    result = await function(do)
    error = body(result)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"] == f"RequestId: {result.request_id} Error: Runtime {words}"
    assert body(await function("echo")) == {"do": "echo"}


async def test_a_large_answer_comes_back_whole(function):
    assert len((await function("large")).payload) == 5_000_002


async def test_an_answer_that_is_too_large_is_a_function_error(function):
    assert body(await function("too large"))["errorType"] == "Function.ResponseSizeTooLarge"
    assert body(await function("echo")) == {"do": "echo"}


async def test_a_handler_that_never_returns_runs_into_the_functions_timeout(tmp_path):
    (tmp_path / "app.py").write_text(textwrap.dedent(HANDLER))
    brief = spec(tmp_path, timeout=1.0)
    async with LambdaHost(brief, launcher=HostLauncher(), journal=Journal()) as host:
        result = await Function(host, [])("sleep", log_tail=True)
        assert body(result) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {result.request_id} Error: "
            "Task timed out after 1.00 seconds",
        }
        assert b"Task timed out after 1.00 seconds\nEND" in result.log_tail


@pytest.mark.parametrize(
    ("code", "handler", "error_type"),
    [
        ("import nothing_of_this_name", "app.handler", "Runtime.ImportModuleError"),
        ("def handler(:", "app.handler", "Runtime.UserCodeSyntaxError"),
        ("raise RuntimeError('at import')", "app.handler", "RuntimeError"),
        ("handler = 1", "app.other", "Runtime.HandlerNotFound"),
        ("", "app", "Runtime.MalformedHandlerName"),
    ],
)
async def test_code_that_cannot_be_loaded_is_told_to_the_caller(
    tmp_path, code, handler, error_type
):
    (tmp_path / "app.py").write_text(code)
    async with LambdaHost(
        spec(tmp_path, handler), launcher=HostLauncher(), journal=Journal()
    ) as host:
        result = await Function(host, [])("echo")
    assert result.function_error == "Unhandled"
    assert body(result)["errorType"] == error_type


async def test_parallel_invocations_run_in_processes_of_their_own(tmp_path):
    (tmp_path / "app.py").write_text(
        "import os, time\ndef handler(e, c):\n    time.sleep(0.2)\n    return os.getpid()\n"
    )
    async with LambdaHost(
        spec(tmp_path), launcher=HostLauncher(), journal=Journal(), concurrency=3
    ) as host:
        results = await asyncio.gather(*(host.invoke(b"{}") for _ in range(3)))
    assert len({result.payload for result in results}) == 3
