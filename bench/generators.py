"""Who makes the load: a program in C where it can be built, else one of our own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.counting_socket import dial, make_event
from bench.disturbance import processor_seconds
from bench.shapes import MINISTACK_SHARE, Shape
from bench.subjects import Running

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
    generator, reference = (
        compile_program(name, sources=sources, directory=directory)
        for name in ("loadgen", "creference")
    )
    return generator, reference


def compile_program(name: str, *, sources: Path, directory: Path) -> Path:
    """Compiles one program, unless that was done before.

    Raises:
        CannotBuild: says what is missing.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
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
    return program


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
            share = MINISTACK_SHARE if server.hosts else 1
            argv += ["-M", str(round(shape.events * share))]
        if shape.in_flight:
            argv += [{"rate": "-r", "http": "-k"}.get(shape.mode, "-w"), str(shape.in_flight)]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env=os.environ | _host_variables(server),
            preexec_fn=self._prepare,
        )
        try:
            result: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise RuntimeError(f"{shape.name}: {done.stderr.strip() or 'no result'}") from None
        if result["err"]:
            raise RuntimeError(f"{shape.name}: {done.stderr.strip()}")
        return result

    def _prepare(self) -> None:
        """Runs in the new process: its core, and as many connections as the system allows."""
        os.sched_setaffinity(0, {self.core})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _host_variables(server: Running) -> dict[str, str]:
    if server.hosts is None:
        return {}
    return {"LG_HTTPHOST": server.hosts[0], "LG_WSHOST": server.hosts[1]}


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


async def _load(plan: dict[str, int]) -> dict[str, float]:
    listening = []
    for number in range(plan["subscribers"]):
        one = await dial(plan["port"], b'"event')
        one.subscribe(f"s{number:035}")
        listening.append(one)
    publisher = await dial(plan["port"], b"publish_success")
    event = make_event(plan["size"])
    publisher.publish(event)  # once for the road; also waits until all have subscribed
    await asyncio.gather(*(one.hears(1) for one in listening))
    before = processor_seconds(plan["pid"])
    for number in range(1, plan["events"] + 1):
        publisher.publish(event)
        if number >= plan["in_flight"]:
            await publisher.hears(number - plan["in_flight"] + 2)
    await asyncio.gather(*(one.hears(plan["events"] + 1) for one in listening))
    seconds = processor_seconds(plan["pid"]) - before
    for one in (*listening, publisher):
        one.transport.abort()
    return {"dps": plan["events"] * plan["subscribers"] / seconds, "err": 0}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_load(json.loads(sys.argv[1])))))
