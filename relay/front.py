"""Accepted TCP connections: who they are, and the line that is written when they end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from sys import intern
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from relay.express import Express, Head
from relay.http_replies import UNSENT_BYTES
from relay.journal import Journal
from relay.usher import Upgrade, Usher, Waiting, read_upgrade

LINGER = 1.0  # seconds that the rest of a body is read and dropped, so that its answer is seen


PublishAtOnce = Callable[[str, str, bytes, "Visit"], bytes | None]


class Visit:
    """One accepted connection.

    Attributes:
        connection: a name for it, unique in this relay's life.
        peer: the other side's address.
        port: the other side's port.
        tls: whether it is encrypted.
        opened: monotonic seconds.
        transport: ``http`` until an upgrade makes it ``realtime``; None before the first request.
        renewal: monotonic seconds after which aiohttp must see a request of it.
        reason: why the relay ended it: ``slow``, ``age``, ``drain``, ``denied``; empty otherwise.
    """

    __slots__ = (
        "connection",
        "opened",
        "peer",
        "port",
        "reason",
        "received",
        "renewal",
        "tls",
        "transport",
    )

    def __init__(self, connection: str, transport: asyncio.Transport, *, opened: float) -> None:
        peer = transport.get_extra_info("peername")
        self.connection = connection
        self.peer: str = intern(peer[0]) if isinstance(peer, tuple) else ""
        self.port: int = peer[1] if isinstance(peer, tuple) else 0
        self.tls: bool = transport.get_extra_info("sslcontext") is not None
        self.opened = opened
        self.transport: str | None = None
        self.reason = ""
        self.received = 0
        self.renewal = 0.0


class Front(web.Server):
    """aiohttp's low-level server, which also knows its visitors.

    Args:
        handler: answers each request.
        journal: gets the lines.
        now: monotonic seconds.
        request_bytes: the largest body that is read.
        idle: seconds that a connection may stay without a request.
        publish_at_once: given host, API key, body and visitor, the answer to a publish that needs
            no second look; None for any other.
        enter: takes an upgrade to Events, if it is one that can be taken; False leaves it to
            aiohttp.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        *,
        journal: Journal,
        now: Callable[[], float],
        request_bytes: int,
        idle: float,
        publish_at_once: PublishAtOnce,
        enter: Callable[[Upgrade], bool],
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
        self._publish_at_once = publish_at_once
        self._renewal = idle / 2
        self._enter = enter
        self._waiting = Waiting(idle)

    def __call__(self) -> RequestHandler:
        """The side of a new connection that aiohttp has."""
        return Express(self, loop=self._loop, answer_at_once=self._answer_at_once, **self._kwargs)

    def receive(self) -> Usher:
        """What a new connection meets first."""
        return Usher(self._show_in, self._waiting)

    def welcome(self, transport: asyncio.Transport) -> Visit:
        """A new visitor."""
        return Visit(f"c{next(self._numbers)}", transport, opened=self._now())

    def pre_shutdown(self) -> None:
        """Ends the connections on which nothing is under way."""
        self._waiting.close()
        super().pre_shutdown()

    def _show_in(self, transport: asyncio.Transport, data: bytes) -> None:
        upgrade = read_upgrade(data, transport)
        if upgrade is not None and self._enter(upgrade):
            return
        handler = self()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(data)

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
        self._visits[handler] = self.welcome(transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forgets the visitor; a WebSocket writes its own line, since it knows more."""
        super().connection_lost(handler, exc)
        visit = self._visits.pop(handler, None)
        if visit is not None and visit.transport == "http":
            self.close(visit, code=None)

    def _answer_at_once(self, handler: Express, head: Head, body: bytes) -> bytes | None:
        """The answer to a publish, if it can be had without aiohttp.

        The first request of a connection cannot, and every now and then aiohttp must see one, or
        it takes the connection for an idle one.
        """
        visit = self._visits.get(handler)
        if visit is None or visit.transport != "http" or head.length > self.request_bytes:
            return None
        now = self._now()
        if now > visit.renewal:
            visit.renewal = now + self._renewal
            return None
        transport = handler.transport
        if transport is None or transport.get_write_buffer_size() > UNSENT_BYTES:
            return None
        return self._publish_at_once(head.host, head.key, body, visit)

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
