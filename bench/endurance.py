"""What only the relay itself is asked: how soon it is there, and what it keeps in the long run."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.counting_socket import CountingSocket, dial, make_event
from bench.shapes import Shape
from bench.subjects import Running

BUDGET = 120.0  # seconds that one of them may take
SETTLE_BUDGET = 10.0  # seconds until the relay has noticed that all are gone
WAVE = 50  # connections that come and go at once
FRAME = b'"type":"'  # stands once in each frame of a server
BASE_EVENTS = 300  # what the others' rate is measured with before one stops reading


def endure(shape: Shape, server: Running, *, core: int) -> dict[str, Any]:
    """Puts one of these loads on a relay that did nothing else before."""
    with _pinned(core):
        return asyncio.run(_LOADS[shape.mode](shape, server))


async def _start(_: Shape, server: Running) -> dict[str, Any]:
    return {"seconds": server.seconds, "err": 0}


async def _stall(shape: Shape, server: Running) -> dict[str, Any]:
    """Publishes first to those who read, then also to one who does not."""
    async with asyncio.timeout(BUDGET):
        readers = [await _subscriber(server, f"s{n:035}") for n in range(shape.subscribers)]
        publisher = await dial(server.port, FRAME)
        before = await _publish(publisher, readers, shape, events=BASE_EVENTS)
        peak = _memory(server.pid, "VmHWM")
        stalled = await _subscriber(server, "t" * 36)
        stalled.transport.pause_reading()
        rate = await _publish(publisher, readers, shape, events=shape.events)
        grown = _memory(server.pid, "VmHWM") - peak
        stalled.transport.resume_reading()
        await stalled.is_lost.wait()  # it was cut, or this never ends
        for one in (*readers, publisher):
            one.transport.abort()
    return {"grown_mb": grown / 1e6, "kept": rate / before, "err": 0}


async def _publish(
    publisher: CountingSocket, readers: list[CountingSocket], shape: Shape, *, events: int
) -> float:
    """Publishes with so many in flight; events a second until the last reader has all."""
    event = make_event(shape.size)
    wanted = [one.count + events for one in readers]
    done = publisher.count
    started = time.monotonic()
    for number in range(1, events + 1):
        publisher.publish(event)
        if number >= shape.in_flight:
            await publisher.hears(done + number - shape.in_flight + 1)
            await asyncio.gather(
                *(
                    one.hears(count - events + number - shape.in_flight)
                    for one, count in zip(readers, wanted, strict=True)
                )
            )
    await asyncio.gather(*(one.hears(n) for one, n in zip(readers, wanted, strict=True)))
    return events / (time.monotonic() - started)


async def _churn(shape: Shape, server: Running) -> dict[str, Any]:
    """Opens connections, subscribes, and leaves, every second time without a word."""
    files = _open_files(server.pid)
    async with asyncio.timeout(BUDGET):
        half = shape.subscribers // 2
        for _ in range(half // WAVE):
            await _wave(server)
        await _settle(server, files=files)
        first = _memory(server.pid, "VmRSS")
        for _ in range(half // WAVE):
            await _wave(server)
        left = await _settle(server, files=files)
    return {"left": left, "grown_mb": (_memory(server.pid, "VmRSS") - first) / 1e6, "err": 0}


async def _wave(server: Running) -> None:
    sockets = await asyncio.gather(*(_subscriber(server, f"s{n:035}") for n in range(WAVE)))
    for number, one in enumerate(sockets):
        if number % 2:
            one.transport.abort()
        else:
            one.close()
    await asyncio.gather(*(one.is_lost.wait() for one in sockets))


async def _subscriber(server: Running, name: str) -> CountingSocket:
    socket = await dial(server.port, FRAME)
    socket.subscribe(name)
    await socket.hears(1)
    return socket


async def _settle(server: Running, *, files: int) -> int:
    """Waits until the relay has noticed that all are gone; how much of them is still there."""
    until = time.monotonic() + SETTLE_BUDGET
    while time.monotonic() < until:  # nobody tells, so it is asked
        # In this order: asking opens a connection of its own, which it takes a moment to close.
        left = max(0, _open_files(server.pid) - files) + _known(server)
        if left == 0:
            break
        await asyncio.sleep(0.05)
    return left


def _known(server: Running) -> int:
    """Connections and their subscriptions that the relay tells of."""
    url = f"http://127.0.0.1:{server.port}/_natless/health"
    with urllib.request.urlopen(url, timeout=SETTLE_BUDGET) as answer:
        health = json.load(answer)
    return int(health["connections"] + health["subscriptions"])


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _memory(pid: int, name: str) -> float:
    """Bytes: ``VmRSS`` now, ``VmHWM`` at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"the kernel does not tell {name}")


@contextmanager
def _pinned(core: int) -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


_LOADS = {"start": _start, "stall": _stall, "churn": _churn}
