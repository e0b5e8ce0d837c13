"""A channel that acknowledges a subscription before it delivers: SST's bridge, and our shim."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from natless.vpc.topologies import find
from tests.conformance.bridge_lambda import (
    bridge_binary,
    bridge_function,
    log_of,
    natless_worker,
    shim_function,
)
from tests.conformance.field import Field, open_field
from tests.conformance.proofs import npm_version, prove
from tests.shell.worker_channel import Facts

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAG = 1.0  # seconds
ANSWER_BUDGET = 10.0
SLOW = "import time\n\ndef handler(event, context):\n    time.sleep(1.2)\n    return event\n"
QUICK = "def handler(event, context):\n    return event\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def field(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Field]:
    bridge_binary()
    directory = tmp_path_factory.mktemp("late")
    (directory / "code").mkdir()
    options = ("--subscription-lag", str(LAG))
    async with open_field(directory, golden=None, options=options) as field:
        await field.vpc.apply(find("nat"))
        yield field


async def test_the_answer_to_a_first_call_is_lost_when_it_comes_too_early(field: Field) -> None:
    (field.directory / "code" / "handler.py").write_text(QUICK)
    facts, worker_facts = Facts(), Facts()
    async with (
        natless_worker(field, worker_facts, field.directory / "code"),
        bridge_function(field, facts, timeout=0.9 * LAG) as function,
    ):
        await field.delivers_to(1)  # the worker's own subscription is late too
        result = await function.invoke(b'"x"')
        await function.settled()
        async with asyncio.timeout(ANSWER_BUDGET):
            await worker_facts.wait("worker.invocation.complete")
    assert json.loads(result.payload)["errorType"] == "Sandbox.Timedout"
    log = log_of(facts)
    assert "INFO subscribed" in log
    assert "got message" not in log
    prove_late(
        "test_the_answer_to_a_first_call_is_lost_when_it_comes_too_early",
        "SST's bridge (npm), late subscription",
        "8 wait: subscribed, published, answered at once, and the answer never arrives",
    )


async def test_an_answer_that_comes_later_arrives(field: Field) -> None:
    (field.directory / "code" / "handler.py").write_text(SLOW)
    facts = Facts()
    async with (
        natless_worker(field, Facts(), field.directory / "code"),
        bridge_function(field, facts) as function,
    ):
        await field.delivers_to(1)
        assert (await function.invoke(b'"x"')).payload == b'"x"'
        await function.settled()
    assert "got message 1" not in log_of(facts)  # the ping came too early
    assert "got message 3" in log_of(facts)
    prove_late(
        "test_an_answer_that_comes_later_arrives",
        "SST's bridge (npm), late subscription",
        "the ping is lost, the answer of a slow handler arrives",
    )


async def test_the_shim_waits_until_its_subscription_delivers(field: Field) -> None:
    (field.directory / "code" / "handler.py").write_text(QUICK)
    facts = Facts()
    async with (
        natless_worker(field, Facts(), field.directory / "code"),
        shim_function(field, facts) as function,
    ):
        await field.delivers_to(1)
        result = await function.invoke(b'"x"')
        await function.settled()
    assert (result.function_error, result.payload) == (None, b'"x"')
    (record,) = facts.of("shim.invocation")
    assert record.data["strategy"] == "worker"
    probe = next(span for span in record.data["spans"] if span["phase"] == "probe")
    assert probe["finished"] - probe["started"] > LAG / 2
    prove_late(
        "test_the_shim_waits_until_its_subscription_delivers",
        "SST's bridge (npm), late subscription",
        "the shim in its place proves its subscription first, and is answered",
    )


def prove_late(test: str, client: str, *held: str) -> None:
    prove(client, npm_version("sst-linux-x64"), test=f"test_sst_late.py::{test}", held=held)
