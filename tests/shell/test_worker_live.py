"""The whole loop on loopback: caller, Lambda, guest, relay, worker, handler, and back."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from event_protocol.phases import InvocationRecord, Phase, Strategy
from natless.certificates import Authority, aws_names
from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, InvokeResult, LambdaHost
from natless.relay_process import RelayReady, start_relay
from natless.shim_archive import shim_archive
from natless.worker import Worker, WorkerConfig
from tests.shell.worker_channel import Facts

ROOT = Path(__file__).parents[2]
LABEL = "abcdefghijklmnopqrstuvwxyz"


@dataclass
class Loop:
    """Relay and code; the function and the worker come and go by test."""

    relay: RelayReady
    folder: Path
    deployed: Path
    facts: Facts
    records: list[InvocationRecord] = field(default_factory=list)

    def function(self, *, concurrency: int = 1, timeout: float = 20.0) -> LambdaHost:
        spec = FunctionSpec(
            "hello",
            "handler.handler",
            self.deployed,
            (sys.executable, "-I", str(shim_archive())),
            timeout=timeout,
            environment={
                "NATLESS_REALTIME": f"localhost:{self.relay.port}",
                "NATLESS_HTTP": self.relay.http_host,
                "NATLESS_API_KEY": self.relay.api_key,
                "NATLESS_CA": str(self.relay.ca),
                "NATLESS_APP": "app",
                "NATLESS_STAGE": "dev",
                "NATLESS_FUNCTION_ID": "hello",
                "DB_PASSWORD": "correct-horse-battery",
            },
        )
        host = LambdaHost(
            spec, launcher=HostLauncher(), journal=self.facts.journal, concurrency=concurrency
        )
        host.on_record(self.records.append)
        return host

    def worker(self) -> Worker:
        config = WorkerConfig(
            url=f"wss://localhost:{self.relay.port}/event/realtime",
            host=self.relay.http_host,
            api_key=self.relay.api_key,
            app="app",
            stage="dev",
            folder=self.folder,
            handler="handler.handler",
            ca=self.relay.ca,
        )
        return Worker(config, self.facts.journal)

    def save(self, code: str) -> None:
        (self.folder / "handler.py").write_text(code)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority.for_user(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def loop(tmp_path: Path, authority: Authority) -> AsyncIterator[Loop]:
    folder, deployed = tmp_path / "code", tmp_path / "task"
    for copy in (folder, deployed):
        shutil.copytree(ROOT / "examples/hello", copy, ignore=shutil.ignore_patterns("__*"))
    served = authority.issue([*aws_names("us-east-1"), "localhost"], directory=tmp_path)
    facts = Facts()
    async with start_relay(
        certificate=served.certificate,
        key=served.key,
        ca=authority.ca_path,
        api_key="da2-0123456789abcdefghijklmnop",
        label=LABEL,
        region="us-east-1",
        namespaces=["sst"],
        listening=[],
        journal=Journal(),
    ) as relay:
        yield Loop(relay, folder, deployed, facts)


def message(result: InvokeResult) -> str:
    assert result.function_error is None, result.payload
    answer = json.loads(result.payload)
    assert answer["statusCode"] == 200
    return json.loads(answer["body"])["message"]


def error_type(result: InvokeResult) -> str:
    assert result.function_error == "Unhandled"
    return json.loads(result.payload)["errorType"]


async def test_twenty_invocations_are_answered_by_the_developers_code(loop):
    async with loop.worker(), loop.function() as function:
        for _ in range(20):
            assert message(await function.invoke(b"{}")) == "Hello from the developer code!"
        await function.settled()
    assert [record.strategy for record in loop.records] == [Strategy.WORKER] * 20
    assert [record.cold for record in loop.records] == [True] + [False] * 19
    phases = [span.phase for span in loop.records[0].spans]
    assert phases[:6] == [
        Phase.RESOLVE,
        Phase.CONNECT,
        Phase.TLS,
        Phase.UPGRADE,
        Phase.INIT,
        Phase.SUBSCRIBE,
    ]
    received = loop.facts.of("worker.invocation.received")
    assert [fact.data["request_id"] for fact in received] == [r.request_id for r in loop.records]
    assert len(loop.facts.of("worker.process.started")) == 1


async def test_the_share_of_the_worker_lies_inside_what_the_guest_measured(loop):
    async with loop.worker(), loop.function() as function:
        await function.invoke(b"{}")
        await function.settled()
        [done] = loop.facts.of("worker.invocation.complete")
    [record] = loop.records
    assert record.started <= done.data["received"] <= done.data["handled"] <= record.finished


async def test_an_edit_shows_at_the_next_call(loop):
    async with loop.worker(), loop.function() as function:
        await function.invoke(b"{}")
        loop.save("def handler(event, context):\n    return 'edited'\n")
        await loop.facts.wait("worker.reload.complete")
        assert (await function.invoke(b"{}")).payload == b'"edited"'


async def test_a_handler_that_raises_answers_with_its_own_error(loop):
    loop.save("def handler(event, context):\n    raise ValueError('boom')\n")
    async with loop.worker(), loop.function() as function:
        result = await function.invoke(b"{}")
        assert error_type(result) == "ValueError"
        assert json.loads(result.payload)["errorMessage"] == "boom"


async def test_a_handler_whose_value_is_not_json_answers_with_an_error(loop):
    loop.save("def handler(event, context):\n    return {1, 2}\n")
    async with loop.worker(), loop.function() as function:
        assert error_type(await function.invoke(b"{}")) == "Runtime.MarshalError"


async def test_a_handler_that_cannot_be_loaded_answers_with_its_place(loop):
    loop.save("def handler(event, context):\n    return (\n")
    async with loop.worker(), loop.function() as function:
        result = await function.invoke(b"{}")
        assert error_type(result) == "Runtime.UserCodeSyntaxError"
        assert "line 2" in json.loads(result.payload)["errorMessage"]
        loop.save("def handler(event, context):\n    return 'mended'\n")
        await loop.facts.wait("worker.reload.complete")
        assert (await function.invoke(b"{}")).payload == b'"mended"'


async def test_a_handler_process_that_is_killed_costs_one_clear_answer(loop):
    loop.save("import time\ndef handler(e, c):\n    time.sleep(0 if e else 60)\n    return e\n")
    async with loop.worker(), loop.function() as function:
        calling = asyncio.create_task(function.invoke(b"null"))
        await loop.facts.wait("worker.invocation.started")
        os.kill(loop.facts.of("worker.process.started")[0].data["pid"], signal.SIGKILL)
        result = await calling
        assert error_type(result) == "Runtime.ExitError"
        assert "signal: killed" in json.loads(result.payload)["errorMessage"]
        assert (await function.invoke(b"1")).payload == b"1"
        await function.settled()
    assert [record.strategy for record in loop.records] == [Strategy.WORKER] * 2


async def test_a_handler_that_exits_costs_one_clear_answer(loop):
    loop.save("import sys\ndef handler(e, c):\n    if not e: sys.exit(3)\n    return e\n")
    async with loop.worker(), loop.function() as function:
        assert error_type(await function.invoke(b"null")) == "Runtime.ExitError"
        assert (await function.invoke(b"1")).payload == b"1"


async def test_a_handler_that_never_returns_costs_one_invocation(loop):
    loop.save("import time\ndef handler(e, c):\n    time.sleep(0 if e else 60)\n    return e\n")
    async with loop.worker(), loop.function(timeout=2.0) as function:
        result = await function.invoke(b"null")
        assert result.function_error == "Unhandled"
        failed = await loop.facts.wait("worker.invocation.failed")
        assert failed.data["request_id"] == result.request_id
        assert (await function.invoke(b"1")).payload == b"1"
    assert len(loop.facts.of("worker.process.started")) == 2


async def test_events_and_answers_of_several_megabytes_go_through(loop):
    loop.save("def handler(event, context):\n    return event\n")
    event = json.dumps("x" * 3_000_000).encode()
    async with loop.worker(), loop.function() as function:
        result = await function.invoke(event)
    assert (result.function_error, result.payload == event) == (None, True)


async def test_parallel_invocations_are_answered_side_by_side(loop):
    loop.save("import os\ndef handler(e, c):\n    return [e, os.getpid()]\n")
    async with loop.worker(), loop.function(concurrency=4) as function:
        results = await asyncio.gather(*(function.invoke(b"%d" % n) for n in range(4)))
    answers = [json.loads(result.payload) for result in results]
    assert [event for event, _ in answers] == [0, 1, 2, 3]
    assert len({pid for _, pid in answers}) == 4


async def test_a_worker_that_comes_back_is_introduced_anew(loop):
    async with loop.function() as function:
        async with loop.worker():
            assert message(await function.invoke(b"{}")) == "Hello from the developer code!"
        async with loop.worker():
            assert message(await function.invoke(b"{}")) == "Hello from the developer code!"
        await function.settled()
    assert [record.strategy for record in loop.records] == [Strategy.WORKER] * 2


async def test_two_developers_on_one_stage_are_both_told(loop):
    async with loop.worker():
        assert loop.facts.of("worker.stage.shared") == []
        async with loop.worker():
            told = await loop.facts.wait("worker.stage.shared", count=2)
    assert told.data["stage"] == "dev"
    assert "@" in told.data["developer"]


async def test_a_guest_that_is_killed_costs_one_invocation_and_the_worker_goes_on(loop):
    loop.save("import time\ndef handler(e, c):\n    time.sleep(0 if e else 60)\n    return e\n")
    async with loop.worker(), loop.function() as function:
        calling = asyncio.create_task(function.invoke(b"null"))
        await loop.facts.wait("worker.invocation.started")
        os.kill(loop.facts.of("lambda.environment.started")[0].data["pid"], signal.SIGKILL)
        assert error_type(await calling) == "Runtime.ExitError"
        assert (await function.invoke(b"1")).payload == b"1"
        failed = await loop.facts.wait("worker.invocation.failed")
    assert failed.data["reason"] == "superseded"


async def test_no_secret_reaches_the_journal(loop):
    loop.save("import os\ndef handler(e, c):\n    print(dict(os.environ))\n    return 1\n")
    async with loop.worker(), loop.function() as function:
        await function.invoke(b"{}")
        await loop.facts.wait("worker.log")
    journal = "".join(fact.to_json() for fact in loop.facts)
    assert "DB_PASSWORD" in journal
    for secret in (loop.relay.api_key, "correct-horse-battery", "imitated-session-token"):
        assert secret not in journal


async def test_nothing_is_left_when_the_block_ends(loop):
    loop.save("import time\ndef handler(e, c):\n    time.sleep(60)\n")
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(loop.worker())
        function = await stack.enter_async_context(loop.function())
        calling = asyncio.create_task(function.invoke(b"null"))
        await loop.facts.wait("worker.invocation.started")
    with pytest.raises(asyncio.CancelledError):
        await calling
    kinds = ("worker.process.started", "lambda.environment.started")
    pids = [fact.data["pid"] for kind in kinds for fact in loop.facts.of(kind)]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
