"""The relay as a process of its own: started, awaited until ready, its facts taken, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natless.errors import ComponentFailed
from natless.journal import Journal
from natless.lambda_host.launcher import die_with_parent

READY_BUDGET = 10.0  # seconds; it takes less than one, except on a machine that is very busy
DRAIN_BUDGET = 5.0  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True)
class RelayReady:
    """Where a running relay can be reached.

    Attributes:
        port: TLS on loopback.
        http_host: the API's HTTP host name, AWS-shaped.
        realtime_host: the API's realtime host name, AWS-shaped.
        api_key: the key that opens it. A secret.
        ca: the certificate authority that signs for it.
    """

    port: int
    http_host: str
    realtime_host: str
    api_key: str
    ca: Path


@asynccontextmanager
async def start_relay(
    *,
    certificate: Path,
    key: Path,
    ca: Path,
    api_key: str,
    label: str,
    region: str,
    namespaces: Sequence[str],
    listening: Sequence[socket.socket],
    journal: Journal,
    subscription_lag: float = 0.0,
) -> AsyncIterator[RelayReady]:
    """Runs ``python -P -m relay`` until the block ends; its facts go into the journal.

    Args:
        certificate: PEM of the server's certificate, with its chain.
        key: PEM of its private key.
        ca: PEM of the authority, for the clients.
        api_key: the only key that is accepted.
        label: the 26 characters of the API's AWS-shaped host names.
        region: the region in those names.
        namespaces: the channel namespaces that exist.
        listening: further listening sockets, such as one made inside a network namespace.
        journal: takes the relay's facts.
        subscription_lag: seconds from a subscription's acknowledgement until it delivers.

    Raises:
        ComponentFailed: it ended, or was not ready within its budget.
    """
    argv = [*die_with_parent(), sys.executable, "-P", "-m", "relay"]
    argv += ["--json", "--journal", "-", "--port", "0", "--until-eof"]
    argv += ["--certificate", str(certificate), "--key", str(key), "--ca", str(ca)]
    argv += ["--api-key", api_key, "--label", label, "--region", region]
    argv += ["--subscription-lag", str(subscription_lag)]
    for namespace in namespaces:
        argv += ["--namespace", namespace]
    for sock in listening:
        argv += ["--listen-fd", str(sock.fileno())]
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,  # its end is ours, however we end
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=[sock.fileno() for sock in listening],
        # Ctrl-C belongs to us: the relay drains when we are done with it, not before.
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        limit=1 << 20,
    )
    errors: deque[str] = deque(maxlen=20)
    tasks = [asyncio.create_task(_keep_lines(process.stderr, errors))]
    try:
        ready = await _read_ready(process, errors)
        tasks.append(asyncio.create_task(_take_facts(process.stdout, journal)))
        yield RelayReady(
            port=int(ready["http"].split(":")[2].split("/")[0]),
            http_host=ready["hosts"]["HTTP"],
            realtime_host=ready["hosts"]["REALTIME"],
            api_key=api_key,
            ca=ca,
        )
    finally:
        await _end(process)
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_ready(process: asyncio.subprocess.Process, errors: deque[str]) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_BUDGET)
        ready = json.loads(line)
        if ready.get("event") != "ready":
            raise ValueError("no ready line")
    except (TimeoutError, ValueError) as error:
        await _end(process)
        said = "; ".join(errors) or "it said nothing"
        raise ComponentFailed(
            f"the relay did not come up: {said}", hint="run `natless relay` alone to see why"
        ) from error
    return dict(ready)


async def _take_facts(stream: asyncio.StreamReader | None, journal: Journal) -> None:
    assert stream is not None
    async for line in stream:
        with contextlib.suppress(ValueError, KeyError):
            fact = json.loads(line)
            journal.record(
                fact.pop("kind"), source=fact.pop("source"), at=float(fact.pop("at")), **fact
            )


async def _keep_lines(stream: asyncio.StreamReader | None, lines: deque[str]) -> None:
    assert stream is not None
    async for line in stream:
        lines.append(line.decode(errors="replace").rstrip())


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), DRAIN_BUDGET)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
