"""A TLS server that hands every byte on to the relay untouched, and writes down what was said."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.golden.transcript import Transcript
from tests.golden.wire import Head, Reader

CHUNK = 1 << 16


@asynccontextmanager
async def tap(
    listening: list[socket.socket],
    *,
    server_tls: ssl.SSLContext,
    upstream: Callable[[], asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    transcript: Transcript,
) -> AsyncIterator[None]:
    """Serves on the sockets until the block ends.

    Args:
        listening: listening sockets, such as one made inside a network namespace.
        server_tls: with the certificate that clients shall see.
        upstream: opens a connection to the relay.
        transcript: takes every message.
    """
    numbers = itertools.count(1)
    running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running[task] = writer
        try:
            await _carry(next(numbers), (reader, writer), await upstream(), transcript)
        finally:
            del running[task]

    servers = [
        await asyncio.start_server(serve, sock=sock.dup(), ssl=server_tls) for sock in listening
    ]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        tasks = list(running)
        for writer in running.values():
            writer.transport.abort()  # which ends both directions, as a client's end would
        await asyncio.gather(*tasks)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _carry(number: int, client: Streams, relay: Streams, transcript: Transcript) -> None:
    from_client, from_relay = Reader(), Reader()

    def observe_client(data: bytes) -> None:
        for message in from_client.feed(data):
            transcript.observe(number, "client", message)

    def observe_relay(data: bytes) -> None:
        for message in from_relay.feed(data):
            transcript.observe(number, "relay", message)
            if isinstance(message, Head) and message.switches:
                from_client.framed = True

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(client[0], relay[1], observe_client))
            both.create_task(_pump(relay[0], client[1], observe_relay))
    finally:
        for _, writer in (client, relay):
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, observe: Callable[[bytes], None]
) -> None:
    """One direction, until it ends; the end is handed on by closing (TLS has no half-close)."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await source.read(CHUNK):
            observe(data)  # before it travels: an answer can then never be noted before its cause
            sink.write(data)
            await sink.drain()
    sink.close()
