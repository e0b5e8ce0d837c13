"""Accepted TCP connections: who they are, and the line that is written when they end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from relay.journal import Journal

LINGER = 1.0  # seconds that the rest of a body is read and dropped, so that its answer is seen


class Visit:
    """One accepted connection.

    Attributes:
        connection: a name for it, unique in this relay's life.
        peer: the other side's address.
        port: the other side's port.
        tls: whether it is encrypted.
        opened: monotonic seconds.
        transport: ``http`` until an upgrade makes it ``realtime``; None before the first request.
        reason: why the relay ended it: ``slow``, ``age``, ``drain``, ``denied``; empty otherwise.
    """

    __slots__ = ("connection", "opened", "peer", "port", "reason", "received", "tls", "transport")

    def __init__(self, connection: str, transport: asyncio.Transport, *, opened: float) -> None:
        peer = transport.get_extra_info("peername")
        self.connection = connection
        self.peer: str = peer[0] if isinstance(peer, tuple) else ""
        self.port: int = peer[1] if isinstance(peer, tuple) else 0
        self.tls: bool = transport.get_extra_info("sslcontext") is not None
        self.opened = opened
        self.transport: str | None = None
        self.reason = ""
        self.received = 0


class Front(web.Server):
    """aiohttp's low-level server, which also knows its visitors.

    Args:
        handler: answers each request.
        journal: gets the lines.
        now: monotonic seconds.
        request_bytes: the largest body that is read.
        idle: seconds that a connection may stay without a request.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        *,
        journal: Journal,
        now: Callable[[], float],
        request_bytes: int,
        idle: float,
    ) -> None:
        super().__init__(
            handler,
            request_factory=self._make_sized_request,
            access_log=None,
            auto_decompress=False,  # clients say "content-encoding: amz-1.0" and mean nothing by it
            keepalive_timeout=idle,
            lingering_time=LINGER,
        )
        self._journal = journal
        self._now = now
        self._numbers = itertools.count(1)
        self._visits: dict[RequestHandler, Visit] = {}
        self.request_bytes = request_bytes

    def visit_of(self, request: web.BaseRequest) -> Visit:
        """The connection that a request came on.

        Raises:
            ConnectionResetError: it has ended meanwhile.
        """
        visit = self._visits.get(request.protocol)
        if visit is None:
            raise ConnectionResetError("the client is gone")
        return visit

    def open(self, visit: Visit, transport: str, *, api: str) -> None:
        """Writes that a connection is used, and for what; the first request decides."""
        visit.transport = transport
        self._journal.record(
            "relay.connection.opened",
            connection=visit.connection,
            peer=visit.peer,
            peer_port=visit.port,
            transport=transport,
            tls=visit.tls,
            api=api,
        )

    def close(self, visit: Visit, *, code: int | None, delivered: int = 0, lost: int = 0) -> None:
        """Writes that a connection has ended."""
        self._journal.record(
            "relay.connection.closed",
            connection=visit.connection,
            peer=visit.peer,
            transport=visit.transport,
            code=code,
            reason=visit.reason,
            seconds=round(self._now() - visit.opened, 6),
            received=visit.received,
            delivered=delivered,
            lost=lost,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Notes the visitor."""
        super().connection_made(handler, transport)
        self._visits[handler] = Visit(f"c{next(self._numbers)}", transport, opened=self._now())

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forgets the visitor; a WebSocket writes its own line, since it knows more."""
        super().connection_lost(handler, exc)
        visit = self._visits.pop(handler, None)
        if visit is not None and visit.transport == "http":
            self.close(visit, code=None)

    def _make_sized_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            self._loop,
            client_max_size=self.request_bytes,
        )
