"""Execution environments with scripted runtimes and a clock that is moved by hand."""

import asyncio
import itertools
import json
import sys
from pathlib import Path

import pytest

from event_protocol.phases import InvocationRecord, Phase, Span, Strategy, encode_record
from natless.journal import Fact, Journal
from natless.lambda_host.budgets import HostBudgets
from natless.lambda_host.clock import HandClock
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from tests.shell.lambda_scripts import Runtime, ScriptedLauncher, until

SPEC = FunctionSpec("f", "app.handler", Path("/tmp"), ("/bin/true",), timeout=3.0)
RECORD = InvocationRecord(
    request_id="r-1",
    worker_id="w" * 32,
    cold=True,
    strategy=Strategy.WORKER,
    started=1.0,
    finished=2.0,
    spans=(Span(Phase.CONNECT, 1.0, 1.5),),
)


class Bench:
    """A host with its launcher, its clock and the facts it records."""

    def __init__(
        self,
        *scripts,
        spec: FunctionSpec = SPEC,
        concurrency: int = 1,
        budgets: HostBudgets | None = None,
    ) -> None:
        self.facts: list[Fact] = []
        journal = Journal()
        journal.listen(self.facts.append)
        self.clock = HandClock()
        self.launcher = ScriptedLauncher(*scripts)
        ids = itertools.count(1)
        self.host = LambdaHost(
            spec,
            launcher=self.launcher,
            journal=journal,
            concurrency=concurrency,
            clock=self.clock,
            budgets=budgets,
            new_id=lambda: f"{next(ids):032x}",
        )

    def lines(self, kind: str = "lambda.platform") -> list[str]:
        return [fact.data["line"] for fact in self.facts if fact.kind == kind]

    def kinds(self, prefix: str) -> list[str]:
        return [fact.kind for fact in self.facts if fact.kind.startswith(prefix)]


async def ok(runtime: Runtime) -> None:
    await runtime.serve()


def error(result) -> tuple[str, str]:
    assert result.status == 200
    assert result.function_error == "Unhandled"
    body = json.loads(result.payload)
    assert list(body) == ["errorType", "errorMessage"]
    return body["errorType"], body["errorMessage"]


async def test_an_answer_comes_back_with_what_invoke_says_of_it():
    bench = Bench(ok)
    async with bench.host as host:
        result = await host.invoke(b"{}")
    assert (result.status, result.payload, result.function_error) == (200, b'"ok"', None)
    assert result.executed_version == "$LATEST"
    assert result.request_id.count("-") == 4


async def test_the_runtime_gets_the_headers_that_lambda_sends():
    seen = {}

    async def look(runtime: Runtime) -> None:
        headers, body = await runtime.next()
        seen.update(headers, body=body)
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")
        await runtime.hang()

    bench = Bench(look)
    async with bench.host as host:
        wall = bench.clock.wall()
        result = await host.invoke(b'{"n":1}', client_context='{"custom":{"ä":1}}')
    assert seen["body"] == b'{"n":1}'
    assert seen["Lambda-Runtime-Aws-Request-Id"] == result.request_id
    assert seen["Lambda-Runtime-Deadline-Ms"] == str(int((wall + 3.0) * 1000))
    assert seen["Lambda-Runtime-Invoked-Function-Arn"].endswith(":123456789012:function:f")
    assert seen["Lambda-Runtime-Trace-Id"].startswith(f"Root=1-{int(wall):08x}-")
    assert seen["Lambda-Runtime-Client-Context"] == '{"custom":{"ä":1}}'
    assert len(seen["Lambda-Runtime-Invocation-Id"]) == 32


async def test_the_environment_is_reused_and_named_after_its_log_stream():
    bench = Bench(ok)
    async with bench.host as host:
        for _ in range(3):
            await host.invoke(b"{}")
        assert len(bench.launcher.processes) == 1
        stream = bench.launcher.environments[0]["AWS_LAMBDA_LOG_STREAM_NAME"]
        assert host.worker_ids == (stream[-32:],)


async def test_lambdas_own_lines_frame_each_invocation_and_only_the_first_has_an_init():
    bench = Bench(ok)
    async with bench.host as host:
        first = await host.invoke(b"{}", log_tail=True)
        second = await host.invoke(b"{}", log_tail=True)
    words = [line.split(" ")[0] for line in bench.lines()]
    assert words == ["START", "END", "REPORT"] * 2
    assert "Init Duration" in bench.lines()[2]
    assert "Init Duration" not in bench.lines()[5]
    for result in (first, second):
        assert result.log_tail.startswith(b"START RequestId: " + result.request_id.encode())
        assert b"\nREPORT RequestId: " in result.log_tail


async def test_what_is_printed_belongs_to_its_invocation_and_to_its_tail():
    async def talk(runtime: Runtime) -> None:
        runtime.print("loading")
        for number in range(2):
            headers, _ = await runtime.next()
            runtime.print(f"working {number}")
            runtime.print(f"complaining {number}", to_stderr=True)
            await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")
        await runtime.hang()

    bench = Bench(talk)
    async with bench.host as host:
        results = [await host.invoke(b"{}", log_tail=number == 0) for number in range(2)]
        await until(lambda: len(bench.lines("lambda.log")) == 5)
    by_request = {
        (fact.data["line"], fact.data["stream"]): fact.data["request_id"]
        for fact in bench.facts
        if fact.kind == "lambda.log"
    }
    assert by_request["working 0", "stdout"] == results[0].request_id
    assert by_request["complaining 1", "stderr"] == results[1].request_id
    assert b"working 0\ncomplaining 0\nEND" in results[0].log_tail
    assert results[1].log_tail == b"", "it was not asked for"


async def test_secrets_of_the_environment_do_not_reach_the_journal():
    async def leak(runtime: Runtime) -> None:
        runtime.print("key " + runtime.environment["DB_PASSWORD"])
        await runtime.serve()

    spec = FunctionSpec(
        "f", "app.handler", Path("/tmp"), ("x",), environment={"DB_PASSWORD": "correct-horse"}
    )
    bench = Bench(leak, spec=spec)
    async with bench.host as host:
        await host.invoke(b"{}", log_tail=True)
    assert bench.lines("lambda.log") == ["key ***"]


async def test_a_record_of_the_guest_becomes_a_fact_and_is_told_to_listeners():
    async def guest(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")
        runtime.print(encode_record(RECORD))
        await runtime.next()

    bench, told = Bench(guest), []
    async with bench.host as host:
        host.on_record(told.append)
        await host.invoke(b"{}", log_tail=True)
    assert told == [RECORD]
    [fact] = [fact for fact in bench.facts if fact.kind == "shim.invocation"]
    assert (fact.source, fact.at) == ("shim", RECORD.finished)
    assert fact.data["request_id"] == "r-1"
    assert fact.data["function"] == "f"
    assert fact.data["spans"][0]["phase"] == "connect"
    assert bench.lines("lambda.log") == []


async def test_a_broken_record_is_kept_as_a_line():
    async def guest(runtime: Runtime) -> None:
        runtime.print("NATLESS-INVOCATION {broken")
        await runtime.serve()

    bench = Bench(guest)
    async with bench.host as host:
        await host.invoke(b"{}", log_tail=True)
    assert bench.lines("lambda.log") == ["NATLESS-INVOCATION {broken"]


async def test_an_error_of_the_handler_is_handed_on_as_it_was_posted():
    async def fail(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        await runtime.fail(headers["Lambda-Runtime-Aws-Request-Id"], b'{"any":"thing"}')
        await runtime.serve()

    bench = Bench(fail)
    async with bench.host as host:
        result = await host.invoke(b"{}")
        assert (result.payload, result.function_error) == (b'{"any":"thing"}', "Unhandled")
        assert (await host.invoke(b"{}")).function_error is None
    assert len(bench.launcher.processes) == 1, "an error does not cost the environment"
    assert bench.kinds("lambda.invocation.failed") == ["lambda.invocation.failed"]


async def test_a_function_that_takes_too_long_is_ended_and_told_so():
    async def hang(runtime: Runtime) -> None:
        await runtime.next()
        await runtime.hang()

    bench = Bench(hang, ok)
    async with bench.host as host:
        calling = asyncio.create_task(host.invoke(b"{}"))
        await until(lambda: "lambda.invocation.started" in bench.kinds("lambda"))
        await bench.clock.pending()
        bench.clock.advance(2.9)
        await asyncio.sleep(0)
        assert not calling.done()
        bench.clock.advance(0.1)
        result = await calling
        assert error(result) == (
            "Sandbox.Timedout",
            f"RequestId: {result.request_id} Error: Task timed out after 3.00 seconds",
        )
        await host.settled()
        assert bench.launcher.processes[0].is_killed
        lines = bench.lines()
        assert lines[1].endswith(f" {result.request_id} Task timed out after 3.00 seconds")
        assert "\tStatus: timeout" in lines[3]
        assert "Duration: 3000.00 ms" in lines[3]

        assert (await host.invoke(b"{}")).payload == b'"ok"'
    streams = {each["AWS_LAMBDA_LOG_STREAM_NAME"] for each in bench.launcher.environments}
    assert len(bench.launcher.processes) == 2
    assert len(streams) == 1, "the environment keeps its name when it is reset"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "Runtime exited without providing a reason"),
        (1, "Runtime exited with error: exit status 1"),
        (-9, "Runtime exited with error: signal: killed"),
    ],
)
async def test_a_runtime_that_ends_fails_its_invocation_and_is_started_anew(status, words):
    async def end(runtime: Runtime) -> int:
        await runtime.next()
        return status

    bench = Bench(end, ok)
    async with bench.host as host:
        result = await host.invoke(b"{}", log_tail=True)
        assert error(result) == (
            "Runtime.ExitError",
            f"RequestId: {result.request_id} Error: {words}",
        )
        assert b"Status: error\tError Type: Runtime.ExitError" in result.log_tail
        assert (await host.invoke(b"{}")).payload == b'"ok"'
    # the second start happens inside the invocation, so it is not an init of its own
    assert "Init Duration" not in bench.lines()[-1]


async def test_a_runtime_that_ends_while_it_is_idle_is_started_anew_inside_the_next_invocation():
    leave = asyncio.Event()

    async def once(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")
        waiting = asyncio.create_task(runtime.next())
        await leave.wait()
        waiting.cancel()

    bench = Bench(once, ok)
    async with bench.host as host:
        assert (await host.invoke(b"{}")).payload == b"1"
        await host.settled()
        leave.set()
        await bench.launcher.processes[0].wait()
        result = await host.invoke(b"{}")
        assert (result.payload, result.function_error) == (b'"ok"', None)


async def test_an_answer_counts_although_the_runtime_ends_right_after_it():
    async def last_words(runtime: Runtime) -> int:
        headers, _ = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b'"last"')
        return 1

    bench = Bench(last_words, ok)
    async with bench.host as host:
        result = await host.invoke(b"{}", log_tail=True)
        assert (result.payload, result.function_error) == (b'"last"', None)
        assert b"Error Type: Runtime.ExitError" in result.log_tail


async def test_a_runtime_that_does_not_come_back_after_its_answer_runs_into_the_timeout():
    async def linger(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b'"early"')
        await runtime.hang()

    bench = Bench(linger, ok)
    async with bench.host as host:
        assert (await host.invoke(b"{}")).payload == b'"early"', "the caller does not wait for it"
        await bench.clock.pending()
        bench.clock.advance(3.0)
        await host.settled()
        assert "\tStatus: timeout" in bench.lines()[-1]
        assert (await host.invoke(b"{}")).payload == b'"ok"'


async def test_an_init_that_takes_ten_seconds_is_repeated_inside_the_invocation():
    async def never_ready(runtime: Runtime) -> None:
        await runtime.hang()

    bench = Bench(never_ready, ok)
    async with bench.host as host:
        calling = asyncio.create_task(host.invoke(b"{}"))
        await until(lambda: "lambda.environment.started" in bench.kinds("lambda"))
        await bench.clock.pending()
        bench.clock.advance(HostBudgets().init)
        assert (await calling).payload == b'"ok"'
    first, second = bench.lines()[:2]
    assert first == "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout"
    assert second.startswith("START ")
    assert "Init Duration" not in bench.lines()[-1]


async def test_an_init_that_never_ends_fails_by_the_functions_timeout():
    async def never_ready(runtime: Runtime) -> None:
        await runtime.hang()

    bench = Bench(never_ready)
    async with bench.host as host:
        calling = asyncio.create_task(host.invoke(b"{}"))
        for number, seconds in enumerate((10.0, 3.0), 1):
            await until(lambda n=number: len(bench.launcher.processes) == n)
            await bench.clock.pending()
            bench.clock.advance(seconds)
        result = await calling
        assert error(result)[0] == "Sandbox.Timedout"
        await host.settled()
    reports = [line for line in bench.lines() if line.startswith("INIT_REPORT")]
    assert [line.split("\t")[1:] for line in reports] == [
        ["Phase: init", "Status: timeout"],
        ["Phase: invoke", "Status: timeout"],
    ]


async def test_an_init_error_is_tried_twice_and_then_handed_to_the_caller():
    async def broken(runtime: Runtime) -> int:
        await runtime.fail_init(
            b'{"errorType":"X","errorMessage":"no"}', "Runtime.ImportModuleError"
        )
        return 1

    bench = Bench(broken)
    async with bench.host as host:
        result = await host.invoke(b"{}")
    assert result.payload == b'{"errorType":"X","errorMessage":"no"}'
    assert result.function_error == "Unhandled"
    assert len(bench.launcher.processes) == 2
    reports = [line for line in bench.lines() if line.startswith("INIT_REPORT")]
    assert [line.split("\t")[1:] for line in reports] == [
        ["Phase: init", "Status: error", "Error Type: Runtime.ImportModuleError"],
        ["Phase: invoke", "Status: error", "Error Type: Runtime.ImportModuleError"],
    ]


async def test_a_runtime_that_ends_before_it_is_ready_fails_the_invocation():
    async def end(_: Runtime) -> int:
        return 127

    bench = Bench(end)
    async with bench.host as host:
        kind, message = error(await host.invoke(b"{}"))
    assert kind == "Runtime.ExitError"
    assert message.endswith("Runtime exited with error: exit status 127")


async def test_a_command_that_is_not_there_is_named():
    facts: list[Fact] = []
    journal = Journal()
    journal.listen(facts.append)
    spec = FunctionSpec("f", "app.handler", Path("/tmp"), ("/no/such/bootstrap",))
    async with LambdaHost(spec, launcher=HostLauncher(), journal=journal) as host:
        kind, message = error(await host.invoke(b"{}"))
    assert kind == "Runtime.InvalidEntrypoint"
    assert message.endswith("fork/exec /no/such/bootstrap: no such file or directory")


async def test_a_folder_that_is_not_there_is_named():
    spec = FunctionSpec("f", "app.handler", Path("/no/such/folder"), (sys.executable,))
    async with LambdaHost(spec, launcher=HostLauncher(), journal=Journal()) as host:
        kind, message = error(await host.invoke(b"{}"))
    assert kind == "Runtime.InvalidWorkingDir"
    assert "/no/such/folder" in message


async def test_parallel_invocations_get_environments_of_their_own_and_the_rest_is_throttled():
    gate = asyncio.Event()

    async def gated(runtime: Runtime) -> None:
        while True:
            headers, _ = await runtime.next()
            await gate.wait()
            await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")

    bench = Bench(gated, concurrency=2)
    async with bench.host as host:
        calls = [asyncio.create_task(host.invoke(b"{}")) for _ in range(3)]
        [throttled] = (await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED))[0]
        refused = throttled.result()
        assert refused.status == 429
        assert json.loads(refused.payload)["__type"] == "TooManyRequestsException"
        assert refused.executed_version == ""
        gate.set()
        statuses = sorted([(await call).status for call in calls])
        assert statuses == [200, 200, 429]
        assert len(set(host.worker_ids)) == 2


@pytest.mark.parametrize("concurrency", [1, 5])
async def test_a_caller_right_after_an_answer_waits_for_the_environment_to_be_idle(concurrency):
    bench = Bench(ok, concurrency=concurrency)
    async with bench.host as host:
        statuses = [(await host.invoke(b"{}")).status for _ in range(20)]
    assert statuses == [200] * 20
    assert len(bench.launcher.processes) == 1


async def test_a_busy_runtime_after_its_answer_is_not_waited_for_when_there_is_room():
    async def linger(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")
        await runtime.hang()

    bench = Bench(linger, ok, concurrency=2)
    async with bench.host as host:
        await host.invoke(b"{}")
        calling = asyncio.create_task(host.invoke(b"{}"))
        await bench.clock.pending(2)
        bench.clock.advance(HostBudgets().settle)
        assert (await calling).payload == b'"ok"'
        assert len(host.worker_ids) == 2


async def test_the_most_recently_used_environment_is_taken_first():
    gate = asyncio.Event()
    used: list[str] = []

    async def remember(runtime: Runtime) -> None:
        while True:
            headers, body = await runtime.next()
            used.append(runtime.environment["AWS_LAMBDA_LOG_STREAM_NAME"])
            if body == b"wait":
                await gate.wait()
            await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")

    bench = Bench(remember, concurrency=2)
    async with bench.host as host:
        first = asyncio.create_task(host.invoke(b"wait"))
        await until(lambda: len(used) == 1)
        await host.invoke(b"{}")
        gate.set()
        await first
        await host.settled()
        await host.invoke(b"{}")
    assert used[2] == used[0]


async def test_a_request_that_is_too_large_is_refused_without_an_environment():
    bench = Bench(ok)
    async with bench.host as host:
        result = await host.invoke(b"x" * (6 * 1024 * 1024 + 1))
        assert result.status == 413
        assert host.worker_ids == ()


async def test_the_function_goes_on_when_its_caller_leaves():
    gate = asyncio.Event()

    async def gated(runtime: Runtime) -> None:
        while True:
            headers, _ = await runtime.next()
            await gate.wait()
            await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")

    bench = Bench(gated)
    async with bench.host as host:
        calling = asyncio.create_task(host.invoke(b"{}"))
        await until(lambda: "lambda.invocation.started" in bench.kinds("lambda"))
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        gate.set()
        await host.settled()
        assert (await host.invoke(b"{}")).payload == b"1"
    assert bench.kinds("lambda.invocation.complete") == ["lambda.invocation.complete"] * 2
    assert len(bench.launcher.processes) == 1


async def test_leaving_in_the_middle_of_an_invocation_ends_the_runtime():
    async def hang(runtime: Runtime) -> None:
        await runtime.next()
        await runtime.hang()

    bench = Bench(hang)
    async with bench.host as host:
        calling = asyncio.create_task(host.invoke(b"{}"))
        await until(lambda: "lambda.invocation.started" in bench.kinds("lambda"))
    assert bench.launcher.processes[0].is_killed
    with pytest.raises(asyncio.CancelledError):
        await calling
    [failed] = [fact for fact in bench.facts if fact.kind == "lambda.invocation.failed"]
    assert failed.data["error_type"] == "Stopped"


async def test_leaving_during_the_init_phase_ends_the_runtime():
    async def never_ready(runtime: Runtime) -> None:
        await runtime.hang()

    bench = Bench(never_ready)
    async with bench.host as host:
        calling = asyncio.create_task(host.invoke(b"{}"))
        await until(lambda: "lambda.environment.started" in bench.kinds("lambda"))
    assert bench.launcher.processes[0].is_killed
    await asyncio.gather(calling, return_exceptions=True)


async def test_a_reserved_concurrency_of_zero_throttles_every_call():
    async with Bench(ok, concurrency=0).host as host:
        assert (await host.invoke(b"{}")).status == 429


def test_a_concurrency_below_zero_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        LambdaHost(SPEC, launcher=HostLauncher(), journal=Journal(), concurrency=-1)


# Renewal, as after a change of the function's settings


async def test_after_a_renewal_the_next_call_gets_a_new_environment_and_the_idle_one_ends():
    bench = Bench(ok, ok)
    async with bench.host as host:
        await host.invoke(b"{}")
        await host.settled()
        (before,) = host.worker_ids
        host.renew()
        assert host.worker_ids == ()
        await host.invoke(b"{}")
        await host.settled()
        assert host.worker_ids != (before,)
        assert len(host.worker_ids) == 1
        old, new = bench.launcher.processes
        await until(lambda: old.is_killed or old.is_terminated)
        assert not new.is_killed
        assert not new.is_terminated


async def test_who_is_busy_at_a_renewal_answers_first_and_does_not_count_any_more():
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        asked.set()
        await may_answer.wait()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b'"slow"')
        await runtime.next()

    bench = Bench(slow, ok)  # one environment at a time
    async with bench.host as host:
        first = asyncio.create_task(host.invoke(b"{}"))
        await asked.wait()
        host.renew()
        assert (await host.invoke(b"{}")).payload == b'"ok"'
        may_answer.set()
        assert (await first).payload == b'"slow"'
        await host.settled()
        assert len(host.worker_ids) == 1


async def test_an_environment_without_work_is_ended_when_its_time_has_come():
    bench = Bench(ok, budgets=HostBudgets(idle=300.0))
    async with bench.host as host:
        await host.invoke(b"{}")
        await host.settled()
        bench.clock.advance(299.0)
        await host.invoke(b"{}")
        await host.settled()
        bench.clock.advance(299.0)
        assert len(host.worker_ids) == 1, "the call began its time anew"
        bench.clock.advance(1.0)
        assert host.worker_ids == ()
        await until(lambda: bench.launcher.processes[0].is_killed)
        await host.invoke(b"{}")
        await host.settled()
    assert len(bench.launcher.processes) == 2
    assert "Init Duration" in bench.lines()[-1]


async def test_what_waits_for_its_end_is_not_waited_for_when_the_host_ends():
    bench = Bench(ok, concurrency=2, budgets=HostBudgets(idle=300.0))
    async with bench.host as host:
        await asyncio.gather(host.invoke(b"{}"), host.invoke(b"{}"))
        await host.settled()
    bench.clock.advance(1000.0)
    assert [process.is_killed for process in bench.launcher.processes] == [True, True]
