"""Who makes the load: a program in C where it can be built, else one of our own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.shapes import Shape
from bench.subjects import API_KEY, Running

FLAGS = ("-O2", "-march=native")
LIBRARIES = ("-lssl", "-lcrypto")
TIME_LIMIT = 60  # seconds that one load may take


class CannotBuild(Exception):
    """The programs in C are not there, or there is no compiler for them."""


def build(sources: Path, directory: Path) -> tuple[Path, Path]:
    """Compiles the load generator and the reference, unless that was done before.

    Returns:
        The generator and the reference.

    Raises:
        CannotBuild: says what is missing.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    programs = []
    for name in ("loadgen", "creference"):
        source, program = sources / f"{name}.c", directory / name
        if not source.exists():
            raise CannotBuild(f"{source} is not there")
        if compiler is None:
            raise CannotBuild("there is no C compiler (Debian: apt install gcc libssl-dev)")
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            directory.mkdir(parents=True, exist_ok=True)
            argv = [compiler, *FLAGS, str(source), *LIBRARIES, "-o", str(program)]
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode:
                lines = done.stderr.strip().splitlines()
                raise CannotBuild(f"{name} does not compile: {lines[0] if lines else 'no reason'}")
        programs.append(program)
    return programs[0], programs[1]


@dataclass(frozen=True, slots=True)
class CGenerator:
    """Checks every payload, order, duplicates and ids; leaves a core half idle."""

    program: Path
    core: int

    def run(self, shape: Shape, server: Running) -> dict[str, Any]:
        """Makes the load once.

        Raises:
            RuntimeError: something was wrong with what came back.
        """
        port = server.tls_port if shape.is_tls else server.port
        argv = [str(self.program), "-p", "as", "-m", shape.mode, "-P", str(port)]
        argv += ["-n", str(shape.subscribers), "-s", str(shape.size), "-x", str(server.pid)]
        argv += ["-t", str(TIME_LIMIT)]
        if shape.is_tls:
            argv.append("-T")
        if shape.events:
            argv += ["-M", str(shape.events)]
        if shape.in_flight:
            argv += [{"rate": "-r", "http": "-k"}.get(shape.mode, "-w"), str(shape.in_flight)]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.core}),
        )
        try:
            result: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise RuntimeError(f"{shape.name}: {done.stderr.strip() or 'no result'}") from None
        if result["err"]:
            raise RuntimeError(f"{shape.name}: {done.stderr.strip()}")
        return result


@dataclass(frozen=True, slots=True)
class OwnGenerator:
    """Counts frames and checks nothing.

    It is slower than the relay, so it tells deliveries per second of the server's processor time.
    """

    core: int

    def run(self, shape: Shape, server: Running) -> dict[str, Any]:
        """Makes the load once, in a process of its own."""
        plan = {
            "port": server.port,
            "subscribers": shape.subscribers,
            "events": max(shape.events // 10, 1),
            "in_flight": shape.in_flight,
            "size": shape.size,
            "pid": server.pid,
        }
        done = subprocess.run(
            [sys.executable, "-m", "bench.generators", json.dumps(plan)],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.core}),
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result


class _Counter(asyncio.Protocol):
    """A WebSocket by hand that counts how often a word comes in."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._rest = b""
        self.count = 0
        self.wanted = 0
        self.reached = asyncio.Event()
        self.is_open = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        credentials = json.dumps({"host": "localhost", "x-api-key": API_KEY}).encode()
        token = base64.urlsafe_b64encode(credentials).rstrip(b"=")
        transport.write(
            b"GET /event/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: aws-appsync-event-ws, header-" + token + b"\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self.is_open.set()
        data = self._rest + data
        self.count += data.count(self._word)
        self._rest = data[-len(self._word) + 1 :]
        if self.count >= self.wanted:
            self.reached.set()

    def say(self, frame: dict[str, Any]) -> None:
        text = json.dumps(frame, separators=(",", ":")).encode()
        length = (
            bytes((0x80 | len(text),))
            if len(text) < 126
            else b"\xfe" + len(text).to_bytes(2, "big")
        )
        self.transport.write(b"\x81" + length + bytes(4) + text)

    async def hears(self, wanted: int) -> None:
        self.wanted = wanted
        self.reached.clear()
        if self.count < wanted:
            await self.reached.wait()


def _processor_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def _load(plan: dict[str, int]) -> dict[str, float]:
    loop = asyncio.get_running_loop()

    async def dial(word: bytes) -> _Counter:
        _, counter = await loop.create_connection(lambda: _Counter(word), "127.0.0.1", plan["port"])
        await counter.is_open.wait()
        return counter

    authorization = {"host": "localhost", "x-api-key": API_KEY}
    base = {"channel": "/default/bench", "authorization": authorization}
    listening = []
    for number in range(plan["subscribers"]):
        one = await dial(b'"event')
        one.say(base | {"type": "subscribe", "id": f"s{number:035}"})
        listening.append(one)
    publisher = await dial(b"publish_success")
    event = json.dumps({"s": "x" * (plan["size"] - 12)})
    publish = base | {"type": "publish", "id": "p" * 36, "events": [event]}
    publisher.say(publish)  # once for the road; also waits until all have subscribed
    await asyncio.gather(*(one.hears(1) for one in listening))
    before = _processor_seconds(plan["pid"])
    for number in range(1, plan["events"] + 1):
        publisher.say(publish)
        if number >= plan["in_flight"]:
            await publisher.hears(number - plan["in_flight"] + 2)
    await asyncio.gather(*(one.hears(plan["events"] + 1) for one in listening))
    seconds = _processor_seconds(plan["pid"]) - before
    for one in (*listening, publisher):
        one.transport.abort()
    return {"dps": plan["events"] * plan["subscribers"] / seconds, "err": 0}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_load(json.loads(sys.argv[1])))))
