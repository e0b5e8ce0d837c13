"""The unmodified bridge as the runtime of our Lambda, answered by our worker, where it can work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from natless.lambda_host.host import LambdaHost
from natless.vpc.topologies import find
from natless.worker import Worker
from tests.conformance.bridge_lambda import (
    bridge_binary,
    bridge_function,
    log_of,
    natless_worker,
)
from tests.conformance.field import Field, open_field
from tests.conformance.packets import codes_of_ours, heard_packets
from tests.conformance.proofs import npm_version, prove
from tests.shell.worker_channel import Facts

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("topology", ["no-vpc", "nat"]),
]

TIME_SCALE = 0.01  # of the relay: its ka comes every 0.6 s in place of 60
IDLE = 90.0  # seconds of the relay, in which a ka must come
RELOAD_BUDGET = 20.0  # seconds from an edit until the new code answers
HANDLER = """
import os

def handler(event, context):
    if event == "fail":
        raise KeyError("on purpose")
    if isinstance(event, str):
        return event
    return ["first code", event["n"], context.aws_request_id, os.environ["SST_FUNCTION_ID"]]
"""


@dataclass
class Sst:
    """A field with a folder of code, for one module."""

    field: Field
    folder: Path

    def function(self, facts: Facts, **options: object) -> LambdaHost:
        return bridge_function(self.field, facts, **options)  # type: ignore[arg-type]

    def worker(self, facts: Facts) -> Worker:
        (self.folder / "handler.py").write_text(HANDLER)
        return natless_worker(self.field, facts, self.folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sst(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sst]:
    bridge_binary()
    directory = tmp_path_factory.mktemp("sst")
    (directory / "code").mkdir()
    options = ("--time-scale", str(TIME_SCALE))
    async with open_field(directory, golden=None, options=options) as field:
        yield Sst(field, directory / "code")


async def test_a_cold_start_and_200_invocations(sst: Sst, topology: str) -> None:
    await sst.field.vpc.verify(find(topology))
    facts = Facts()
    async with (
        heard_packets(sst.field) as packets,
        sst.worker(facts),
        sst.function(facts) as function,
    ):
        for number in range(201):
            result = await function.invoke(json.dumps({"n": number}).encode())
            assert result.function_error is None
            expected = ["first code", number, result.request_id, "fn"]
            assert json.loads(result.payload) == expected
    assert len(facts.of("lambda.environment.started")) == 1
    assert "INIT_REPORT" not in log_of(facts)
    assert len(packets) > 600  # next, ping and response of each
    assert codes_of_ours(packets) == set(), "the bridge announced none of our features"
    prove_bridge("test_a_cold_start_and_200_invocations", "a cold start and 200 invocations")


async def test_twenty_cold_starts_at_once(sst: Sst, topology: str) -> None:
    await sst.field.vpc.apply(find(topology))
    facts = Facts()
    async with sst.worker(facts), sst.function(facts, concurrency=20) as function:
        calls = [function.invoke(json.dumps({"n": number}).encode()) for number in range(20)]
        results = await asyncio.gather(*calls)
    answers = [json.loads(result.payload) for result in results]
    assert [answer[:2] for answer in answers] == [["first code", n] for n in range(20)]
    assert [answer[2] for answer in answers] == [result.request_id for result in results]
    assert len({fact.data["worker_id"] for fact in facts.of("worker.init.received")}) == 20
    prove_bridge("test_twenty_cold_starts_at_once", "20 cold starts at once, each answered its own")


async def test_six_megabytes_in_and_out(sst: Sst, topology: str) -> None:
    await sst.field.vpc.apply(find(topology))
    facts = Facts()
    event = b'"' + b"0123456789abcdef" * ((6 << 16) - 1) + b'"'  # the most that Lambda takes
    assert 6 * 2**20 - 16 < len(event) <= 6 * 2**20
    async with sst.worker(facts), sst.function(facts) as function:
        result = await function.invoke(event)
    assert result.function_error is None
    assert result.payload == event
    prove_bridge("test_six_megabytes_in_and_out", "6 MB in and out, in 48 packets each way")


async def test_an_error_of_the_handler_reaches_the_caller(sst: Sst, topology: str) -> None:
    await sst.field.vpc.apply(find(topology))
    facts = Facts()
    async with sst.worker(facts), sst.function(facts) as function:
        result = await function.invoke(b'"fail"')
        assert result.function_error == "Unhandled"
        said = json.loads(result.payload)
        assert (said["errorType"], said["errorMessage"]) == ("KeyError", "'on purpose'")
        assert (await function.invoke(b'"on"')).payload == b'"on"'
    prove_bridge(
        "test_an_error_of_the_handler_reaches_the_caller", "the handler's error, and on it goes"
    )


async def test_an_edit_shows_and_a_new_worker_reboots_the_bridge(sst: Sst, topology: str) -> None:
    await sst.field.vpc.apply(find(topology))
    facts = Facts()
    async with sst.function(facts) as function:
        async with sst.worker(facts):
            assert b"first code" in (await function.invoke(b'{"n":1}')).payload
            (sst.folder / "handler.py").write_text(HANDLER.replace("first", "second"))
            async with asyncio.timeout(RELOAD_BUDGET):
                await facts.wait("worker.reload.complete")
                assert b"second code" in (await function.invoke(b'{"n":2}')).payload
        assert len(facts.of("worker.init.received")) == 1
        async with sst.worker(facts):  # it knows no environment: REBOOT, and the bridge's INIT
            assert b"first code" in (await function.invoke(b'{"n":3}')).payload
        assert len(facts.of("worker.init.received")) == 2
    assert len(facts.of("lambda.environment.started")) == 1
    prove_bridge(
        "test_an_edit_shows_and_a_new_worker_reboots_the_bridge",
        "an edit shows at the next call",
        "a worker that is new asks it to reboot, and it sends its environment again",
    )


async def test_an_idle_minute_changes_nothing(sst: Sst, topology: str) -> None:
    await sst.field.vpc.apply(find(topology))
    facts = Facts()
    async with sst.worker(facts), sst.function(facts) as function:
        assert (await function.invoke(b'"before"')).payload == b'"before"'
        # It is frozen meanwhile, and its ka waits in the socket.
        await asyncio.sleep(IDLE * TIME_SCALE)
        assert (await function.invoke(b'"after"')).payload == b'"after"'
        await function.settled()
    assert log_of(facts).count("type=ka") > 1
    assert log_of(facts).count("connecting") == 1
    assert len(facts.of("lambda.environment.started")) == 1
    prove_bridge(
        "test_an_idle_minute_changes_nothing",
        "60 s without work (the relay's, scaled), same socket",
    )


def prove_bridge(test: str, *held: str) -> None:
    client, version = "SST's bridge (npm), in our Lambda", npm_version("sst-linux-x64")
    where = "on `no-vpc` and `nat`"
    prove(client, version, test=f"test_sst_in_lambda.py::{test}", held=[*held, where])
