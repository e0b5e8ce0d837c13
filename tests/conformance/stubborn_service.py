"""A service that takes part up to some point and then does not: the waits that no network makes.

Everything listens in the lab's internet, speaks TLS as the relay does, and is reached by the API's
own names and a port.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import websockets
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from event_protocol.handshake import SUBPROTOCOL
from natless.vpc.model import ADDRESSES, Role
from tests.conformance.field import Field

ACK = {"type": "connection_ack", "connectionTimeoutMs": 300_000}
Said = Callable[[ServerConnection], Awaitable[None]]


async def never_acks(connection: ServerConnection) -> None:
    """101, and not a word more."""
    await connection.wait_closed()


async def acks_without_a_duration(connection: ServerConnection) -> None:
    """An acknowledgement that lacks what AWS always sends."""
    await connection.recv()
    await connection.send('{"type":"connection_ack"}')
    await connection.wait_closed()


async def never_subscribes(connection: ServerConnection) -> None:
    """Acknowledges the connection and leaves every subscription unanswered."""
    await connection.recv()
    await connection.send(json.dumps(ACK))
    await connection.wait_closed()


def silent_tls(field: Field) -> AbstractAsyncContextManager[int]:
    """TLS, and no answer to whatever is asked. Yields the port, as the others do."""
    return _silent(field, tls=_tls(field))


def silent_tcp(field: Field) -> AbstractAsyncContextManager[int]:
    """A connection, and no answer to its TLS handshake."""
    return _silent(field, tls=None)


@asynccontextmanager
async def _silent(field: Field, *, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await _listen(field)
    server = await asyncio.start_server(hold, sock=listening, ssl=tls)
    try:
        yield listening.getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def realtime(field: Field, behaviour: Said) -> AsyncIterator[int]:
    """A realtime host that upgrades, and then behaves so."""

    async def handle(connection: ServerConnection) -> None:
        with suppress(websockets.ConnectionClosed):
            await behaviour(connection)

    listening = await _listen(field)
    protocols = [websockets.Subprotocol(SUBPROTOCOL)]
    async with serve(handle, sock=listening, ssl=_tls(field), subprotocols=protocols):
        yield listening.getsockname()[1]


@asynccontextmanager
async def publishing(field: Field, status: int | None) -> AsyncIterator[int]:
    """An HTTP host that answers every publish with this status, or None: never."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        if status is None:
            await asyncio.Event().wait()
            raise AssertionError
        return web.json_response({"message": "no"}, status=status)

    app = web.Application()
    app.router.add_post("/event", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = await _listen(field)
    await web.SockSite(runner, listening, ssl_context=_tls(field)).start()
    try:
        yield listening.getsockname()[1]
    finally:
        await runner.cleanup()


async def _listen(field: Field) -> socket.socket:
    return await field.vpc.listen(Role.INTERNET, ADDRESSES.internet.address)


def _tls(field: Field) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(field.certificate.certificate, field.certificate.key)
    return context
