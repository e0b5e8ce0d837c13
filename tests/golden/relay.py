"""A relay for recording and for replaying: always the same names, keys and namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
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
USER_POOL = "us-east-1_GoldenPool"
USER_POOL_CONFIG = f"""
[[api]]
[[api.cognito]]
user_pool_id = "{USER_POOL}"
region = "us-east-1"
"""
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

    async def ask(self, request: str, body: bytes = b"") -> dict[str, Any]:
        """What the operator's door answers, such as to ``GET /_natless/health``."""
        tls = ssl.create_default_context(cafile=self.ready["ca"])
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        head = f"{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found

    async def mint(self) -> str:
        """A user's access token of the pool in :data:`USER_POOL_CONFIG`."""
        claims = {"sub": "ada", "username": "ada", "token_use": "access", "client_id": "app"}
        asked = json.dumps({"userPoolId": USER_POOL, "claims": claims}).encode()
        token: str = (await self.ask("POST /_natless/tokens", asked))["token"]
        return token

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
