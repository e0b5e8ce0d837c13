"""A lab for tests, with somebody at the relay's place who answers every request with 404."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from natless.certificates import Authority, aws_names
from natless.journal import Fact, Journal
from natless.vpc.netns import NetnsVpc, Role, can_use_namespaces

LABEL = "abcdefghijklmnopqrstuvwxyz"
REGION = "us-east-1"
BODY = b'{"errors":[{"errorType":"NotFoundException"}]}'


@dataclass
class Bench:
    """A lab, the facts it told, and who came to the relay."""

    vpc: NetnsVpc
    ca: Path
    facts: list[Fact]
    peers: list[str] = field(default_factory=list)

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

    def cleared(self) -> Bench:
        """Itself, for another test: nothing was told and nobody has come."""
        self.facts.clear()
        self.peers.clear()
        return self

    def told(self, kind: str) -> list[Mapping[str, Any]]:
        return [fact.data for fact in self.facts if fact.kind == kind]


@contextlib.asynccontextmanager
async def open_bench(directory: Path, *, is_answering: bool = True) -> AsyncIterator[Bench]:
    if (reason := can_use_namespaces()) is not None:
        pytest.skip(reason)
    authority = Authority.for_user(directory / "ca")
    pair = authority.issue(aws_names(REGION), directory=directory / "certificates")
    journal, facts = Journal(), []
    journal.listen(facts.append)
    async with NetnsVpc.open(
        label=LABEL,
        region=REGION,
        certificate=pair,
        ca=authority.ca_path,
        journal=journal,
        directory=directory,
    ) as vpc:
        bench = Bench(vpc, authority.ca_path, facts)
        if not is_answering:
            yield bench
            return

        running: dict[asyncio.Task[Any] | None, asyncio.StreamWriter] = {}

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            running[asyncio.current_task()] = writer
            bench.peers.append(writer.get_extra_info("peername")[0])
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await reader.readuntil(b"\r\n\r\n"):
                    head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(BODY)}\r\n\r\n"
                    writer.write(head.encode() + BODY)
                    await writer.drain()
            writer.close()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server = await asyncio.start_server(answer, sock=vpc.relay_socket.dup(), ssl=context)
        try:
            yield bench
        finally:
            server.close()
            for writer in running.values():
                writer.transport.abort()
            await asyncio.gather(*(task for task in running if task is not None))
