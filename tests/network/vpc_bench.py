"""A lab for tests, with somebody at the relay's place who answers every request with 404."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from natless.certificates import Authority, aws_names
from natless.journal import Fact, Journal
from natless.vpc.backend import LabVpc, Network, open_vpc
from natless.vpc.model import Role
from natless.vpc.netns import can_use_namespaces
from tests.containers.conftest import find_obstacle

NETWORKS: tuple[Network, ...] = ("netns", "docker")
LABEL = "abcdefghijklmnopqrstuvwxyz"
REGION = "us-east-1"
_AT_ONCE = struct.pack("ii", 1, 0)
BODY = b'{"errors":[{"errorType":"NotFoundException"}]}'


class Answerer:
    """Somebody at the relay's place, on all of its sockets."""

    def __init__(self, sockets: Sequence[socket.socket], context: ssl.SSLContext) -> None:
        self._sockets = sockets
        self._context = context
        self._servers: list[asyncio.Server] = []
        self._running: dict[asyncio.Task[Any] | None, asyncio.StreamWriter] = {}
        self.peers: list[str] = []

    async def open(self) -> None:
        self._servers = [
            await asyncio.start_server(self._answer, sock=each.dup(), ssl=self._context)
            for each in self._sockets
        ]

    def close(self) -> None:
        """Accepts nobody any more. The kernel still does, as the sockets go on listening."""
        for server in self._servers:
            server.close()

    async def hang_up(self) -> None:
        """Ends every connection by a reset, of which nothing goes on in the kernel."""
        for writer in self._running.values():
            own = writer.get_extra_info("socket")
            if own is not None and own.fileno() >= 0:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
        await asyncio.gather(*(task for task in self._running if task is not None))
        self._running.clear()

    def say(self, words: bytes) -> None:
        """Says something to everybody who is connected."""
        for writer in self._running.values():
            writer.write(words)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running[asyncio.current_task()] = writer
        self.peers.append(writer.get_extra_info("peername")[0])
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(BODY)}\r\n\r\n"
                writer.write(head.encode() + BODY)
                await writer.drain()
        writer.close()


@dataclass
class Bench:
    """A lab, the facts it told, and who came to the relay."""

    vpc: LabVpc
    ca: Path
    facts: list[Fact]
    relay: Answerer

    @property
    def peers(self) -> list[str]:
        return self.relay.peers

    @property
    def realtime_host(self) -> str:
        return self.vpc.api.realtime_host

    async def python(
        self, code: str, *arguments: str, role: Role = Role.FUNCTION
    ) -> tuple[int, str, str]:
        """Runs Python code in somebody's place; its exit code, output and errors."""
        program = await self.vpc.run(
            role, [sys.executable, "-I", "-c", code, *arguments], environment=os.environ
        )
        out, err = await asyncio.gather(program.stdout.read(), program.stderr.read())
        return await program.wait(), out.decode(), err.decode()

    async def ask(self, code: str, *arguments: str, role: Role = Role.FUNCTION) -> Any:
        """Runs Python code that prints JSON; the value."""
        status, out, err = await self.python(code, *arguments, role=role)
        assert status == 0, err
        return json.loads(out)

    async def cleared(self) -> Bench:
        """Itself, for another test: nothing was told and nobody has come."""
        await self.relay.hang_up()
        self.facts.clear()
        self.peers.clear()
        return self

    def told(self, kind: str) -> list[Mapping[str, Any]]:
        return [fact.data for fact in self.facts if fact.kind == kind]


def skip_without(network: Network) -> None:
    reason = can_use_namespaces() if network == "netns" else find_obstacle(builds=False)
    if reason is not None:
        pytest.skip(f"no {network}: {reason}")


@contextlib.asynccontextmanager
async def open_bench(
    directory: Path, *, network: Network = "netns", is_answering: bool = True
) -> AsyncIterator[Bench]:
    skip_without(network)
    authority = Authority.for_user(directory / "ca")
    pair = authority.issue(aws_names(REGION), directory=directory / "certificates")
    ca = directory / "ca.pem"
    shutil.copy(authority.ca_path, ca)  # its own folder lets nobody else pass
    journal, facts = Journal(), []
    journal.listen(facts.append)
    async with open_vpc(
        network,
        label=LABEL,
        region=REGION,
        certificate=pair,
        ca=ca,
        journal=journal,
        directory=directory,
    ) as vpc:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        bench = Bench(vpc, ca, facts, Answerer(vpc.relay_sockets, context))
        if is_answering:
            await bench.relay.open()
        try:
            yield bench
        finally:
            bench.relay.close()
            await bench.relay.hang_up()
