"""The loop of the control container over a scripted function: what is told, and when."""

import asyncio
import time
from pathlib import Path

import pytest

from event_protocol.phases import InvocationRecord, Strategy, encode_record
from natless.container.dev_loop import DevLoop
from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec
from natless.vpc.model import Api
from natless.vpc.topologies import find
from tests.shell.lambda_scripts import Runtime, ScriptedLauncher


class ScriptedVpc(ScriptedLauncher):
    """Changes nothing; the function is a script."""

    api = Api(label="abcdefghijklmnopqrstuvwxyz", region="us-east-1")

    async def listen(self, role):
        return await super().listen()

    async def run(self, role, argv, *, environment, directory=None):
        return await super().run(argv, environment=environment, directory=directory)

    async def apply(self, topology):
        pass

    async def counters(self):
        return {find(name).promise.counter or "": 7 for name in ("no-nat", "security-group-egress")}


def make_record(request_id):
    now = time.monotonic()
    return InvocationRecord(request_id, "w" * 32, False, Strategy.WORKER, now, now, ())


def open_loop(script, topology="nat"):
    spec = FunctionSpec("hello", "handler.handler", Path.cwd(), ("script",))
    return DevLoop(ScriptedVpc(script), spec, topology=find(topology), journal=Journal())


async def test_a_verdict_waits_for_the_record_of_the_call_that_was_just_answered():
    may_tell = asyncio.Event()

    async def answer_and_tell_later(runtime: Runtime):
        headers, _ = await runtime.next()
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        await runtime.respond(request_id, b"1")
        await may_tell.wait()
        runtime.print(encode_record(make_record(request_id)))
        await runtime.hang()

    async with open_loop(answer_and_tell_later) as loop:
        assert (await loop.invoke(b"{}")).payload == b"1"
        telling = [asyncio.create_task(each()) for each in (loop.describe_current, loop.report)]
        await asyncio.wait(telling, timeout=0)
        may_tell.set()
        run, document = await asyncio.gather(*telling)
    assert (run.kept, dict(run.by)) == (True, {Strategy.WORKER: 1})
    assert document.topologies[0].by == run.by


async def test_a_call_whose_record_never_comes_is_told_without_it(monkeypatch):
    monkeypatch.setattr("natless.container.dev_loop.RECORD_BUDGET", 0.0)
    async with open_loop(lambda runtime: runtime.serve()) as loop:
        await loop.invoke(b"{}")
        run = await loop.describe_current()
    assert (run.total, run.answered, run.by) == (1, 1, {})


@pytest.mark.parametrize(
    ("topology", "dropped"), [("no-nat", 7), ("security-group-egress", 7), ("nat", None)]
)
async def test_dropped_packets_are_counted_where_the_network_drops_them(
    monkeypatch, topology, dropped
):
    monkeypatch.setattr("natless.container.dev_loop.RECORD_BUDGET", 0.0)
    async with open_loop(lambda runtime: runtime.serve(), topology) as loop:
        await loop.invoke(b"{}")
        run = await loop.describe_current()
    assert run.network.syns_dropped == dropped
