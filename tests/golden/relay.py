"""A relay for recording and for replaying: always the same names, keys and namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natless.certificates import CertificatePair

LABEL = "natlessgoldenlabel00000000"
REGION = "us-east-1"
API_KEY = "da2-goldengoldengoldengolden00"
WRONG_API_KEY = "da2-wrongwrongwrongwrongwrong0"
# AWS's own example identity, from its documentation.
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NAMESPACES = ("default", "sst", "stelvio")

READY_BUDGET = 15.0  # seconds
STOP_BUDGET = 10.0  # seconds for the drain


@dataclass(slots=True)
class RunningRelay:
    """A relay's process that is ready.

    Attributes:
        port: TLS on loopback.
        ready: its ready line.
    """

    port: int
    ready: dict[str, Any]
    _process: asyncio.subprocess.Process

    async def stop(self) -> None:
        """Lets it drain and waits for its end; does nothing when it has ended."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_BUDGET):
            await self._process.communicate()


@asynccontextmanager
async def start_relay(
    *,
    certificate: CertificatePair,
    ca: Path,
    directory: Path,
    listening: Sequence[socket.socket] = (),
    options: Sequence[str] = (),
    config: str = "",
) -> AsyncIterator[RunningRelay]:
    """``python -P -m relay`` until the block ends.

    Args:
        certificate: what it shows.
        ca: who signed that.
        directory: for its configuration file.
        listening: further sockets that it inherits.
        options: further options of its command line.
        config: lines of a configuration file, given with ``--config`` when there are any.
    """
    argv = [sys.executable, "-P", "-m", "relay", "--json", "--port", "0"]
    argv += ["--certificate", str(certificate.certificate), "--key", str(certificate.key)]
    argv += ["--ca", str(ca), "--label", LABEL, "--region", REGION, "--api-key", API_KEY]
    argv += ["--iam", f"{ACCESS_KEY_ID}:{SECRET}"]
    for namespace in NAMESPACES:
        argv += ["--namespace", namespace]
    for sock in listening:
        argv += ["--listen-fd", str(sock.fileno())]
    if config:
        (directory / "relay.toml").write_text(config)
        argv += ["--config", str(directory / "relay.toml")]
    process = await asyncio.create_subprocess_exec(
        *argv,
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[sock.fileno() for sock in listening],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_BUDGET):
            line = await process.stdout.readline()
        assert line, "the relay ended before it was ready; its standard error says why"
        ready = json.loads(line)
        relay = RunningRelay(int(ready["http"].split(":")[2].split("/")[0]), ready, process)
        yield relay
        await relay.stop()
    finally:
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
        await process.communicate()
