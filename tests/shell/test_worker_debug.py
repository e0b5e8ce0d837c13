"""Real debuggers at the worker's doors: breakpoints hold a handler, and time holds with it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from event_protocol.live import MessageCode
from natless.runtimes import find_code
from natless.worker import LocalFunction, WorkerBudgets
from tests.shell.debug_clients import Dap, Inspector
from tests.shell.worker_channel import Channel, Facts, Guest, worker_for

BUDGETS = WorkerBudgets(reconnect_first=0.001, reconnect_max=0.002, reserve=0.01)
SHORT = 0.6  # seconds that a function of these tests may take
LONGER = 1.2  # seconds for which its developer thinks

PYTHON = "def handler(event, context):\n    value = {}\n    return [value, event]\n"
NODE = (
    "export const handler = async (event) => {{\n"
    "  const value = {};\n"
    "  return [value, event];\n"
    "}};\n"
)


class Bench:
    def __init__(self, channel: Channel, folder: Path, language: str) -> None:
        self.file, self.code, self.client = {
            "python": ("app.py", PYTHON, Dap),
            "node": ("app.mjs", NODE, Inspector),
        }[language]
        self.channel, self.folder = channel, folder
        self.facts = Facts()
        self.guest = Guest(channel)
        self._number = 0
        self.save(1)

    @property
    def path(self) -> Path:
        return self.folder / self.file

    def save(self, number: int) -> None:
        self.path.write_text(self.code.format(number))

    def attach(self, port: int) -> Any:
        """A debugger with a breakpoint on the handler's second line."""
        return self.client.attached(port, (self.path, 2))

    async def ask(self, event: object = None, *, seconds: float = SHORT):
        self._number += 1
        await self.guest.invoke(f"r-{self._number}", event, seconds=seconds)
        return await self.guest.answer()

    async def result(self, event: object = None, *, seconds: float = 60.0) -> object:
        answer = await self.ask(event, seconds=seconds)
        assert answer.code == MessageCode.RESPONSE, answer.body
        return json.loads(answer.body)

    def worker(self, *, debug: bool = True, **budgets):
        function = LocalFunction(find_code(self.folder, "app.handler"), debug=debug)
        return worker_for(
            self.channel,
            self.facts,
            self.folder,
            budgets=replace(BUDGETS, **budgets),
            functions={"fn": function},
        )


@pytest.fixture(
    params=[
        pytest.param(
            "python",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("debugpy") is None, reason="debugpy is not installed"
            ),
        ),
        pytest.param(
            "node",
            marks=pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
        ),
    ]
)
async def bench(request, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    async with Channel().serve() as channel:
        yield Bench(channel, folder, request.param)


async def test_a_breakpoint_holds_the_handler_for_longer_than_its_function_may_take(bench):
    async with bench.worker() as worker:
        await bench.guest.introduce()
        assert await bench.result(0) == [1, 0]
        port = worker.debug_ports["fn"]
        async with bench.attach(port) as debugger:
            await bench.facts.wait("worker.debug.attached")
            assert worker.is_debugged("fn")
            asking = asyncio.create_task(bench.ask("slow"))
            name, line = await debugger.stopped_at()
            assert (name.rpartition(".")[2], line) == ("handler", 2)
            await asyncio.wait({asking}, timeout=LONGER)
            assert not asking.done()
            await debugger.go_on()
            answer = await asking
        assert answer.code == MessageCode.RESPONSE, answer.body
        assert json.loads(answer.body) == [1, "slow"]
        await bench.facts.wait("worker.debug.detached")
        assert not worker.is_debugged("fn")
        assert await bench.result("not held") == [1, "not held"]  # who left takes breakpoints along


async def test_without_a_debugger_time_runs_as_ever(bench):
    forever = {
        "app.py": "import time\ndef handler(e, c):\n    time.sleep(60)\n",
        "app.mjs": "export const handler = () => new Promise((go) => setTimeout(go, 60_000));\n",
    }
    bench.path.write_text(forever[bench.file])
    async with bench.worker():
        await bench.guest.introduce()
        await bench.facts.wait("worker.process.complete")
        answer = await bench.ask()
        assert json.loads(answer.body)["errorType"] == "Sandbox.Timedout"


async def test_who_attaches_before_the_first_call_misses_nothing(bench):
    async with bench.worker() as worker:
        port = worker.debug_ports["fn"]
        attaching = bench.attach(port)
        entering = asyncio.create_task(attaching.__aenter__())
        await asyncio.wait({entering}, timeout=0.2)
        assert not entering.done(), "there is no process yet"
        await bench.guest.introduce()
        asking = asyncio.create_task(bench.result("first"))
        debugger = await entering
        try:
            assert (await debugger.stopped_at())[1] == 2
            await debugger.go_on()
            assert await asking == [1, "first"]
        finally:
            await attaching.__aexit__(None, None, None)


async def test_the_port_stays_while_the_processes_change(bench):
    async with bench.worker() as worker:
        await bench.guest.introduce()
        await bench.result()
        port = worker.debug_ports["fn"]
        bench.save(2)
        await bench.facts.wait("worker.reload.complete")
        async with bench.attach(port) as debugger:
            asking = asyncio.create_task(bench.result("new"))
            await debugger.stopped_at()
            await debugger.go_on()
            assert await asking == [2, "new"]


async def test_an_edit_does_not_end_what_is_held_at_a_breakpoint(bench):
    async with bench.worker(reload_finish=0.1) as worker:
        await bench.guest.introduce()
        await bench.result()
        async with bench.attach(worker.debug_ports["fn"]) as debugger:
            asking = asyncio.create_task(bench.result("held"))
            await debugger.stopped_at()
            bench.save(2)
            await bench.facts.wait("worker.reload.complete")
            await asyncio.wait({asking}, timeout=LONGER)
            await debugger.go_on()
            assert await asking == [1, "held"]
        assert await bench.result("new") == [2, "new"]


async def test_environments_side_by_side_have_ports_of_their_own(bench):
    other = Guest(bench.channel, "f" * 32)
    async with bench.worker() as worker:
        for guest in (bench.guest, other):
            await guest.introduce()
        await bench.facts.wait("worker.process.complete", count=2)
        await bench.facts.wait("worker.debug.listening", count=2)
        ports = [fact.data["port"] for fact in bench.facts.of("worker.debug.listening")]
        assert ports[0] == worker.debug_ports["fn"]
        assert len(set(ports)) == 2
        async with bench.attach(ports[1]) as debugger:
            assert await bench.result(1) == [1, 1]  # the other one is not held
            await other.invoke("o-1", "held", seconds=60.0)
            await debugger.stopped_at()
            await debugger.go_on()
            assert json.loads((await other.answer()).body) == [1, "held"]


async def test_nothing_listens_for_a_function_that_is_not_to_be_debugged(bench):
    async with bench.worker(debug=False) as worker:
        await bench.guest.introduce()
        await bench.result()
        assert worker.debug_ports == {}
    assert bench.facts.of("worker.debug.listening") == []


async def test_what_the_inspector_says_of_itself_is_not_the_handlers(bench):
    async with bench.worker() as worker:
        await bench.guest.introduce()
        await bench.result()
        async with bench.attach(worker.debug_ports["fn"]) as debugger:
            asking = asyncio.create_task(bench.result())
            await debugger.stopped_at()
            await debugger.go_on()
            await asking
    assert [fact.data["line"] for fact in bench.facts.of("worker.log")] == []
