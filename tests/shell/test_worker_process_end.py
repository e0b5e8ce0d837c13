"""A handler's process that is given up while it is being started."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from natless.journal import Journal
from natless.lambda_host.clock import SystemClock
from natless.lambda_host.launcher import HostLauncher, HostProcess
from natless.worker import WorkerConfig
from natless.worker.process import HandlerProcess
from natless.worker.program import make_program

PATIENCE = 10.0


class SlowLauncher(HostLauncher):
    """Starts a process when it is told to."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.may_start = asyncio.Event()
        self.processes: list[HostProcess] = []

    async def run(
        self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path | None = None
    ) -> HostProcess:
        self.is_asked.set()
        await self.may_start.wait()
        process = await super().run(argv, environment=environment, directory=directory)
        self.processes.append(process)
        return process


async def test_a_process_that_is_stopped_while_it_starts_in_reserve_is_not_left(
    tmp_path: Path,
) -> None:
    config = WorkerConfig(
        url="", host="", api_key="", app="", stage="", folder=tmp_path, handler="app.handler"
    )
    launcher = SlowLauncher()
    process = HandlerProcess(Journal(), worker_id="w" * 32, generation=0, clock=SystemClock())
    program = make_program(config.only, {}, worker_id="w" * 32)
    deadline = time.monotonic() + PATIENCE
    holding = asyncio.create_task(process.hold(program, launcher=launcher, deadline=deadline))
    async with asyncio.timeout(PATIENCE):
        await launcher.is_asked.wait()
        await process.stop()
        launcher.may_start.set()
        assert not await holding
        (started,) = launcher.processes
        assert await started.wait() == -signal.SIGKILL
