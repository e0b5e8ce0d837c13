"""Runs the code that is in the container, as if there were no Live mode.

The code's own runtime client talks to a private Runtime API on loopback, which hands it the event
with the headers of the real one. The process is started at the first need and kept, as Lambda
keeps it; a crash or a timeout ends it, and the next need starts another. Code that cannot be loaded
is not tried again: what is in the container does not change.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from pathlib import Path

import runtime_shim
from event_protocol.phases import Strategy
from runtime_shim.budgets import Allowance
from runtime_shim.config import ShimConfig
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.fallbacks.private_api import PrivateRuntimeApi
from runtime_shim.runtime_api import Answer, Invocation

RUNTIME_MODULE = "python_runtime"
# Runs the client from inside the archive: no file to be left behind should the guest be killed, and
# nothing on the import path of the function's code.
_FROM_ARCHIVE = """
import sys, zipimport
__file__ = sys.argv.pop()
exec(zipimport.zipimporter(sys.argv.pop()).get_code("python_runtime"))
"""


class DeployedFallback:
    """The function's own code, in a process of its own.

    Args:
        config: its command, and the variables it may see.
    """

    strategy = Strategy.DEPLOYED

    def __init__(self, config: ShimConfig) -> None:
        self._config = config
        self._runner: _Runner | None = None
        self._broken = ""  # why its code cannot be loaded, once that is known

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether there is code to run, and time; not twice what may have been done half."""
        environment = self._config.environment
        has_code = self._config.deployed_command is not None or bool(
            environment.get("_HANDLER") and environment.get("LAMBDA_TASK_ROOT")
        )
        may_repeat = not failure.is_accepted or self._config.deployed_after_accepted
        return has_code and may_repeat and self._left(invocation) > 0

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """What the code answers: a response or an error of its own.

        Raises:
            CannotAnswer: it cannot be started or loaded, ended, or ran out of time.
        """
        if self._broken:
            raise CannotAnswer(self._broken)
        try:
            async with asyncio.timeout(self._left(invocation)):
                runner = await self._ready_runner()
                return await runner.run(invocation)
        except TimeoutError as error:
            await self.close()
            raise CannotAnswer("the code in the container did not answer in time") from error
        except CannotAnswer:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the process, if there is one."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.close()

    def _left(self, invocation: Invocation) -> float:
        allowance = Allowance(self._config.budgets, invocation.deadline)
        return allowance.left(now=time.monotonic())

    async def _ready_runner(self) -> _Runner:
        if self._runner is not None and not self._runner.has_ended:
            return self._runner
        await self.close()
        self._runner = _Runner(self._config)
        await self._runner.start()
        if refusal := await self._runner.wait_ready(self._config.budgets.deployed_init):
            self._broken = refusal
            raise CannotAnswer(refusal)
        return self._runner


class _Runner:
    """One process of the container's code and its private Runtime API."""

    def __init__(self, config: ShimConfig) -> None:
        self._config = config
        self._api = PrivateRuntimeApi()
        self._process: Process | None = None
        self._exit: asyncio.Task[int] | None = None

    @property
    def has_ended(self) -> bool:
        return self._exit is None or self._exit.done()

    async def start(self) -> None:
        address = await self._api.start()
        command = self._config.deployed_command or python_command()
        environment = dict(self._config.environment) | {"AWS_LAMBDA_RUNTIME_API": address}
        try:
            # Its output is the function's log, as in Lambda.
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, env=environment, cwd=_task_root(environment)
            )
        except OSError as error:
            raise CannotAnswer(f"{command[0]} cannot be started: {error.strerror}") from error
        self._exit = asyncio.create_task(self._process.wait(), name="deployed exit")

    async def wait_ready(self, seconds: float) -> str:
        """Waits until the code asks for an event; why it never will, or nothing.

        Raises:
            CannotAnswer: it ended, or takes longer than so many seconds.
        """
        ready = asyncio.create_task(self._api.is_ready.wait(), name="deployed ready")
        await self._first_of(ready, seconds)
        if self._api.init_error is not None:
            text = self._api.init_error.body.decode("utf-8", "replace")[:300]
            return f"the code in the container cannot be loaded: {text}"
        return ""

    async def run(self, invocation: Invocation) -> Answer:
        answer = self._api.offer(invocation)
        await self._first_of(answer, None)
        return answer.result()

    async def _first_of(
        self, wanted: asyncio.Future[Answer] | asyncio.Task[bool], seconds: float | None
    ) -> None:
        assert self._exit is not None
        try:
            await asyncio.wait(
                {wanted, self._exit}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if wanted.done():
                return
        finally:
            if not wanted.done():
                wanted.cancel()
        if self._exit.done():
            raise CannotAnswer(f"the code in the container ended {_exit_words(self._exit)}")
        raise CannotAnswer(f"the code in the container was not ready in {seconds} s")

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._exit is not None:
            await self._exit
        await self._api.close()


def python_command() -> tuple[str, ...]:
    """How the Python runtime client is started: by its path, or from inside the guest's archive."""
    folder = Path(runtime_shim.__path__[0])
    path = folder / f"{RUNTIME_MODULE}.py"
    if path.is_file():
        return (sys.executable, "-I", os.fspath(path))
    return (sys.executable, "-I", "-c", _FROM_ARCHIVE, os.fspath(folder), os.fspath(path))


def _exit_words(exit_task: asyncio.Task[int]) -> str:
    code = exit_task.result()
    return f"by signal {-code}" if code < 0 else f"with exit status {code}"


def _task_root(environment: Mapping[str, str]) -> str | None:
    root = environment.get("LAMBDA_TASK_ROOT", "")
    return root if root and Path(root).is_dir() else None
