"""Where callers come in: a port on loopback, for programs of this machine only."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from natless.errors import EnvironmentLacks, UsageError

LOOPBACK = "127.0.0.1"
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_LAST_WORDS_SECONDS = 0.5  # for answers that are on their way when the door is shut

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def listen_on_loopback(port: int, *, purpose: str) -> socket.socket:
    """A listening socket on 127.0.0.1.

    Args:
        port: which; 0 takes a free one.
        purpose: what for, as an error message says it.

    Raises:
        UsageError: the port is taken.
        EnvironmentLacks: it may not be used.
    """
    try:
        return socket.create_server((LOOPBACK, port), backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} for {purpose} is in use",
                hint="end what listens there, or take free ports with --port 0",
            ) from error
        raise EnvironmentLacks(
            f"port {port} for {purpose} cannot be used: {error.strerror}",
            hint="choose a port above 1023 with --port, or 0 for a free one",
        ) from error


@asynccontextmanager
async def open_door(app: web.Application, sock: socket.socket) -> AsyncIterator[int]:
    """Serves ``app`` on ``sock`` while the block lasts, and closes it; yields the port."""
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # a body is the function's to read, as it was sent
        shutdown_timeout=_LAST_WORDS_SECONDS,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        yield sock.getsockname()[1]
    finally:
        await runner.cleanup()
        sock.close()


def refuse_strangers(hosts: Collection[str] = (), *, allow_pages: bool) -> Middleware:
    """Refuses what did not mean this machine.

    A page in a browser can make it send requests to loopback, and by a name of its own that means
    127.0.0.1 even read the answers. So the name must be this machine's.

    Args:
        hosts: further host names that are allowed, such as a tunnel's; ``*`` allows all.
        allow_pages: whether pages of other origins may call.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = (urlsplit(f"//{request.host}").hostname or "").lower()
        is_own = host in _OWN_NAMES or host.endswith(".localhost")
        if not (is_own or host in hosts or "*" in hosts):
            raise web.HTTPForbidden(
                text=f"{host or 'this'} is no name of this machine; to let it call, "
                "add it to hosts in [dev] of natless.toml\n"
            )
        origin = request.headers.get("Origin")
        if not allow_pages and origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="pages of other origins may not invoke functions\n")
        return await handler(request)

    return check
