"""Freeze and thaw: between invocations nothing of a function runs."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from natless.journal import Fact, Journal
from natless.lambda_host.clock import HandClock
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from natless.worker.process import python_client
from tests.shell.lambda_scripts import Runtime, ScriptedLauncher, until

TICKING = """
import os, threading, time
ticks = [0]

def tick():
    while True:
        ticks[0] += 1
        time.sleep(0.001)

threading.Thread(target=tick, daemon=True).start()

def handler(event, context):
    return [os.getpid(), ticks[0]]
"""


class Stage:
    def __init__(self, launcher, spec: FunctionSpec, clock=None) -> None:
        self.facts: list[Fact] = []
        journal = Journal()
        journal.listen(self.facts.append)
        self.host = LambdaHost(spec, launcher=launcher, journal=journal, clock=clock)

    def of(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind == kind]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def real(folder: Path, *, freeze: bool) -> Stage:
    (folder / "app.py").write_text(TICKING)
    command = (sys.executable, "-I", "-B", str(python_client()))
    return Stage(HostLauncher(), FunctionSpec("f", "app.handler", folder, command, freeze=freeze))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
async def test_a_function_stands_still_until_the_next_event(tmp_path):
    stage = real(tmp_path, freeze=True)
    async with stage.host as host:
        pid, before = json.loads((await host.invoke(b"{}")).payload)
        await host.settled()
        await until(lambda: state_of(pid) == "T")
        started = time.monotonic()
        while time.monotonic() < started + 0.4:  # four hundred ticks, if it ran
            assert state_of(pid) == "T"
        result = await host.invoke(b"{}")
        same, after = json.loads(result.payload)
    assert same == pid
    assert after - before < 200
    assert result.frozen is not None
    assert result.frozen >= 0.4
    [thawed] = stage.of("lambda.environment.thawed")
    assert thawed.data["seconds"] == pytest.approx(result.frozen, abs=1e-5)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
async def test_one_that_is_not_frozen_runs_on(tmp_path):
    stage = real(tmp_path, freeze=False)
    async with stage.host as host:
        pid, before = json.loads((await host.invoke(b"{}")).payload)
        await host.settled()
        assert state_of(pid) != "T"
        after = before
        while after < before + 20:
            result = await host.invoke(b"{}")
            after = json.loads(result.payload)[1]
    assert result.frozen is None
    assert not stage.of("lambda.environment.frozen")


async def test_a_frozen_function_ends_with_its_host(tmp_path):
    stage = real(tmp_path, freeze=True)
    async with stage.host as host:
        pid, _ = json.loads((await host.invoke(b"{}")).payload)
        await host.settled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def serve(runtime: Runtime) -> None:
    await runtime.serve()


async def test_signals_come_in_pairs_and_the_time_between_them_is_told():
    clock, launcher = HandClock(), ScriptedLauncher(serve)
    stage = Stage(launcher, FunctionSpec("f", "a.b", Path("/tmp"), ("x",)), clock)
    async with stage.host as host:
        assert (await host.invoke(b"{}")).frozen is None, "it is new"
        await host.settled()
        [process] = launcher.processes
        assert process.signals == [signal.SIGSTOP]
        clock.advance(300.0)
        assert (await host.invoke(b"{}")).frozen == 300.0
        await host.settled()
        assert process.signals == [signal.SIGSTOP, signal.SIGCONT, signal.SIGSTOP]


async def test_nothing_is_frozen_that_has_still_to_come_back():
    async def linger(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")
        await runtime.hang()

    clock, launcher = HandClock(), ScriptedLauncher(linger)
    stage = Stage(launcher, FunctionSpec("f", "a.b", Path("/tmp"), ("x",), timeout=3.0), clock)
    async with stage.host as host:
        await host.invoke(b"{}")
        await clock.pending()
        assert launcher.processes[0].signals == []
        clock.advance(3.0)
        await host.settled()
        assert launcher.processes[0].is_killed
    assert not stage.of("lambda.environment.frozen")
