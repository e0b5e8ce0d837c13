"""Runtimes that a test writes as coroutines, hosted as if they were processes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp


class Runtime:
    """What a scripted runtime can do: speak the Runtime API, print, and be told its environment."""

    def __init__(
        self, http: aiohttp.ClientSession, process: ScriptedProcess, environment: Mapping[str, str]
    ) -> None:
        self.http = http
        self._process = process
        self.environment = dict(environment)
        self.root = f"http://{environment['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"

    async def next(self) -> tuple[Mapping[str, str], bytes]:
        async with self.http.get(f"{self.root}/invocation/next") as reply:
            assert reply.status == 200, await reply.text()
            return reply.headers, await reply.read()

    async def respond(self, request_id: str, body: bytes) -> int:
        return await self.post(f"invocation/{request_id}/response", body)

    async def fail(self, request_id: str, body: bytes) -> int:
        return await self.post(f"invocation/{request_id}/error", body)

    async def fail_init(self, body: bytes, error_type: str) -> int:
        return await self.post("init/error", body, error_type=error_type)

    async def post(self, path: str, body: bytes, *, error_type: str = "") -> int:
        headers = {"Lambda-Runtime-Function-Error-Type": error_type} if error_type else {}
        async with self.http.post(f"{self.root}/{path}", data=body, headers=headers) as reply:
            return reply.status

    def print(self, text: str, *, to_stderr: bool = False) -> None:
        stream = self._process.stderr if to_stderr else self._process.stdout
        stream.feed_data(text.encode() + b"\n")

    async def serve(self, *, answer: bytes = b'"ok"') -> None:
        """Answers every event for ever."""
        while True:
            headers, _ = await self.next()
            await self.respond(headers["Lambda-Runtime-Aws-Request-Id"], answer)

    async def hang(self) -> None:
        await asyncio.Event().wait()


Script = Callable[[Runtime], Awaitable[int | None]]


class ScriptedProcess:
    """A coroutine in the shape of a process; its result is the exit status."""

    def __init__(self, script: Script, environment: Mapping[str, str], *, pid: int) -> None:
        self.pid = pid
        self.stdout = asyncio.StreamReader()
        self.stderr = asyncio.StreamReader()
        self.is_killed = False
        self.is_terminated = False
        self.signals: list[int] = []
        self._task = asyncio.create_task(self._run(script, environment))

    async def _run(self, script: Script, environment: Mapping[str, str]) -> int:
        try:
            async with aiohttp.ClientSession() as http:
                return await script(Runtime(http, self, environment)) or 0
        except asyncio.CancelledError:
            return -9
        except aiohttp.ClientError:
            return 1
        finally:
            self.stdout.feed_eof()
            self.stderr.feed_eof()

    async def wait(self) -> int:
        return await asyncio.shield(self._task)

    def kill(self) -> None:
        self.is_killed = True
        self._task.cancel()

    def terminate(self) -> None:
        self.is_terminated = True  # and goes on, as a bridge does that waits for an event

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


class ScriptedLauncher:
    """Starts the scripts one after the other; the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.processes: list[ScriptedProcess] = []
        self.environments: list[Mapping[str, str]] = []

    async def listen(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0))

    async def run(
        self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path | None = None
    ) -> ScriptedProcess:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        process = ScriptedProcess(script, environment, pid=len(self.processes) + 1)
        self.processes.append(process)
        self.environments.append(environment)
        return process


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until ``condition`` holds; the test's own time limit bounds it."""
    while not condition():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
