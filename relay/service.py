"""The relay, put together: opens its doors, answers at them, and closes them in order.

::

    TLS port, plain port, inherited sockets
        └── Front ──> Relay._answer ── which API? which door?
                            ├── /event            HttpPublish
                            ├── /event/realtime   Realtime
                            ├── /_natless/…       Admin
                            ├── /_natless/poll    PollDoor
                            ├── /v1, /v2          ControlDoor
                            ├── /graphql          Graphql
                            └── added doors
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable
from random import Random
from types import TracebackType
from typing import Protocol, Self

from aiohttp import WSCloseCode, web

from relay.admin import PREFIX as ADMIN_PREFIX
from relay.admin import Admin
from relay.auth.configured import Authorities, policies_of, secrets_of, tokens_of
from relay.clock import Clock, SystemClock
from relay.config import RelayConfig
from relay.control.signing import Signatures
from relay.control.state import MemoryStore, SqliteStore, Store
from relay.control_door import PREFIXES, ControlDoor
from relay.control_plane import ControlPlane
from relay.errands import Errands
from relay.front import Front, Visit
from relay.graphql import PREFIX as GRAPHQL_PREFIX
from relay.graphql import Graphql, Tables
from relay.http_publish import HttpPublish
from relay.http_replies import answer_unknown, refuse
from relay.hub import Hub
from relay.identifiers import Identifiers
from relay.journal import Journal, NoJournal
from relay.keepalive import KeepAliveWheel
from relay.link import Link, Shared
from relay.listening import inherit_socket, load_certificate, make_tls, open_socket
from relay.namespaces import Api, Registry
from relay.poll_door import PATH as POLL_PATH
from relay.poll_door import PollDoor
from relay.poll_sessions import PollSessions
from relay.realtime import Realtime
from relay.token_door import TokenDoor
from relay.usher import Upgrade

log = logging.getLogger(__name__)

PUBLISH_PATH = "/event"
REALTIME_PATH = "/event/realtime"
API_PREFIX = "/_natless/apis/"  # then a label or an API id, then the path as on AWS
UPGRADED = (REALTIME_PATH, GRAPHQL_PREFIX, f"{GRAPHQL_PREFIX}/realtime")
TOKENS_PATH = "/_natless/tokens"


class Door(Protocol):
    """Answers requests under some path."""

    def __call__(
        self, request: web.BaseRequest, *, api: Api | None, visit: Visit
    ) -> Awaitable[web.StreamResponse]:
        """Answers one request; ``api`` is the one its host names, None while there is none."""


class Relay:
    """An AppSync Events API on this machine; ready inside its ``async with`` block.

    Args:
        config: all that it is told.
        journal: takes its facts.
        clock: whose time counts; moved by hand in tests.
        rng: makes identifiers.
        store: keeps what the control plane is told; left out, what the configuration names. It is
            closed at the end.

    Attributes:
        registry: its APIs; the control plane adds and removes some.
        hub: sends its frames.
        connections: its open WebSockets.
        port: of TLS, None when there is none.
        plain_port: of http and ws, None when there is none.
    """

    def __init__(
        self,
        config: RelayConfig,
        *,
        journal: Journal | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
        store: Store | None = None,
    ) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.journal = journal or NoJournal()
        self._authorities = Authorities(clock=self.clock, lambda_endpoint=config.lambda_endpoint)
        self.registry = Registry(config.apis, authorizers=self._authorities.make)
        self.connections: dict[Link, None] = {}
        self.port: int | None = None
        self.plain_port: int | None = None
        self._new_identifier = Identifiers(rng or Random())
        self._doors: dict[str, Door] = {}
        self._servers: list[asyncio.Server] = []
        self._tls: ssl.SSLContext | None = None
        self._errands = Errands()
        self._links = Errands()  # WebSockets that aiohttp does not look after
        self._store = store
        self._tables = Tables()

    async def __aenter__(self) -> Self:
        """Listens.

        Raises:
            CannotListen: a port is in use, or an address is not this machine's.
            CertificateUnusable: the certificate or its key cannot be used.
            ConfigInvalid: an inherited descriptor is not a listening socket.
            StateUnusable: the state file cannot be used.
        """
        config = self.config
        loop = asyncio.get_running_loop()
        self._front = Front(
            self._answer,
            journal=self.journal,
            now=self.clock.now,
            request_bytes=config.limits.request_bytes,
            idle=config.budgets.idle,
            publish_at_once=self._publish_at_once,
            enter=self._enter,
        )
        self.hub = Hub(loop.call_soon, unsent_bytes=config.unsent_bytes)
        self._polls = PollSessions(self.hub, self.clock, self.journal)
        await self._open_control_plane()
        try:
            self._make_doors()
            await self._listen()
        except BaseException:
            self._stop_listening()
            await self._close_control_plane()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drains."""
        await self.drain()
        await self._close_control_plane()

    def add_door(self, prefix: str, door: Door) -> None:
        """Lets ``door`` answer every path that is ``prefix`` or goes on from it with a slash."""
        self._doors[prefix] = door

    async def reload(self, config: RelayConfig) -> None:
        """Takes another configuration for all that comes from now on.

        Open connections stay, with the durations and limits they were opened with, unless their
        API is gone. APIs that the control plane created stay. Addresses, ports and the state file
        stay as they are; the certificate is read anew.

        Raises:
            CertificateUnusable: nothing was changed.
            StateUnusable: the APIs stay as they were.
        """
        listen = config.listen
        if self._tls is not None and listen.certificate and listen.key:
            load_certificate(self._tls, listen.certificate, listen.key)
        await self._control.adopt(config.apis, signatures=self._make_signatures(config))
        self.config = config
        self.hub.unsent_bytes = config.unsent_bytes
        self._front.request_bytes = config.limits.request_bytes
        self._make_doors()

    def remove_api(self, api_id: str) -> None:
        """Forgets an API and closes its connections."""
        api = self.registry.remove(api_id)
        for connection in [one for one in self.connections if one.api is api]:
            self._errands.start(connection.close(WSCloseCode.GOING_AWAY, reason="api removed"))

    async def _open_control_plane(self) -> None:
        config = self.config
        if self._store is None:
            self._store = MemoryStore() if config.state is None else SqliteStore(config.state)
        signatures = self._make_signatures(config)
        try:
            self._control = ControlPlane(
                store=self._store,
                signatures=signatures,
                put=self.registry.put,
                remove=self.remove_api,
                template=config.apis[0],
                clock=self.clock.wall,
                new_request_id=self._new_identifier,
                public_host=self._public_host,
            )
            await self._control.adopt(config.apis, signatures=signatures)
        except BaseException:
            self._store.close()
            raise

    def _public_host(self) -> str | None:
        """What the control plane hands out in place of AWS's names, with a port but for 443."""
        host = self.config.public_host
        if host is None or ":" in host or self.port in (None, 443):
            return host
        return f"{host}:{self.port}"

    async def _close_control_plane(self) -> None:
        await self._control.close()
        await self._authorities.aclose()

    def _make_signatures(self, config: RelayConfig) -> Signatures:
        """Whoever may sign for any API may call the control plane, within their policies."""
        credentials = [one for api in config.apis for one in api.iam]
        first = config.apis[0]
        return Signatures(
            secrets_of(credentials),
            tokens=tokens_of(credentials),
            region=first.region,
            verify=first.verify,
            policies=policies_of(credentials),
            clock=self.clock.wall,
        )

    async def drain(self) -> None:
        """Stops accepting, sends what is queued, says goodbye with 1001, within the drain budget.

        Harmless the second time.
        """
        if not self._servers:
            return
        started = self.clock.now()
        self._stop_listening()
        self._polls.close()
        connections = tuple(self.connections)
        deadline = asyncio.get_running_loop().time() + self.config.budgets.drain
        goodbyes = [
            asyncio.create_task(one.close(WSCloseCode.GOING_AWAY, reason="drain"))
            for one in connections
        ]
        aborted = 0
        if goodbyes:
            _, late = await asyncio.wait(goodbyes, timeout=self.config.budgets.drain)
            for connection, goodbye in zip(connections, goodbyes, strict=True):
                if goodbye in late:
                    connection.abort("drain")
                    goodbye.cancel()
            answered = await asyncio.gather(*goodbyes, return_exceptions=True)
            aborted = sum(1 for one in answered if one is not True)
        self._front.pre_shutdown()
        rest = max(0.1, deadline - asyncio.get_running_loop().time())
        await self._front.shutdown(rest)
        await self._links.settle(rest)
        await self._links.close()
        await self._errands.close()
        self.journal.record(
            "relay.drained",
            connections=len(connections),
            aborted=aborted,
            seconds=round(self.clock.now() - started, 6),
        )

    def _make_doors(self) -> None:
        """The doors as the configuration wants them; open connections keep the old ones."""
        limits, budgets = self.config.scaled_limits, self.config.budgets
        self._publish = HttpPublish(
            hub=self.hub,
            clock=self.clock,
            limits=limits,
            budgets=budgets,
            new_identifier=self._new_identifier,
        )
        shared = Shared(
            hub=self.hub,
            clock=self.clock,
            wheel=KeepAliveWheel(
                self.clock, interval=limits.keep_alive, life=limits.connection_life
            ),
            journal=self.journal,
            front=self._front,
            limits=limits,
            budgets=budgets,
            subscription_lag=self.config.scaled_subscription_lag,
            new_identifier=self._new_identifier,
            start=self._errands.start,
            connections=self.connections,
        )
        self._realtime = Realtime(shared)
        self._admin = Admin(
            clock=self.clock,
            started=self.clock.now(),
            registry=self.registry,
            connections=self.connections,
            new_identifier=self._new_identifier,
        )
        self.add_door(GRAPHQL_PREFIX, Graphql(shared, self._tables))
        control = ControlDoor(self._control, budget=budgets.request)
        for prefix in PREFIXES:
            self.add_door(prefix, control)
        self.add_door(
            POLL_PATH,
            PollDoor(
                sessions=self._polls,
                clock=self.clock,
                budget=budgets.request,
                new_identifier=self._new_identifier,
            ),
        )
        self.add_door(
            TOKENS_PATH,
            TokenDoor(
                mint=self._authorities.mint,
                wall=self.clock.wall,
                budget=budgets.request,
                new_identifier=self._new_identifier,
            ),
        )

    async def _listen(self) -> None:
        listen = self.config.listen
        encrypted: list[socket.socket] = []
        if listen.certificate is not None and listen.key is not None:
            self._tls = make_tls(listen.certificate, listen.key)
        if listen.port is not None:
            encrypted.append(open_socket(listen.host, listen.port))
            self.port = encrypted[0].getsockname()[1]
        try:
            encrypted += [inherit_socket(fd) for fd in listen.fds]
            if listen.plain_port is not None:
                plain = open_socket(listen.host, listen.plain_port)
                self.plain_port = plain.getsockname()[1]
                await self._serve(plain, tls=None)
        except BaseException:
            for sock in encrypted:
                sock.close()
            raise
        for sock in encrypted:
            await self._serve(sock, tls=self._tls)

    async def _serve(self, sock: socket.socket, *, tls: ssl.SSLContext | None) -> None:
        budgets = self.config.budgets
        sock.setblocking(False)
        self._servers.append(
            await asyncio.get_running_loop().create_server(
                self._front.receive,
                sock=sock,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else budgets.request,
                ssl_shutdown_timeout=None if tls is None else budgets.close,
            )
        )

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            visit = self._front.visit_of(request)
            api, path = self._find_api(request)
            if visit.transport is None and not (path in UPGRADED and _is_upgrade(request)):
                self._front.open(visit, "http", api="" if api is None else api.config.api_id)
            if path.startswith(ADMIN_PREFIX) and path not in (TOKENS_PATH, POLL_PATH):
                return self._admin(request, visit=visit)
            if api is not None:
                if path == PUBLISH_PATH:
                    return await self._publish(request, api=api, visit=visit)
                if path == REALTIME_PATH and _is_upgrade(request):
                    return await self._realtime(request, api=api, visit=visit)
            door = self._find_door(path)
            if door is None:
                return answer_unknown(request_id=self._new_identifier())
            return await door(request, api=api, visit=visit)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except web.HTTPException as error:  # aiohttp's own, for an upgrade that is none
            return refuse(
                "BadRequestException",
                error.text,
                request_id=self._new_identifier(),
                status=error.status,
            )
        except Exception:  # a defect of ours: the client gets AWS's answer, we get the traceback
            log.exception("a request failed")
            return refuse(
                "InternalFailureException", None, request_id=self._new_identifier(), status=500
            )

    def _publish_at_once(self, host: str, key: str, body: bytes, visit: Visit) -> bytes | None:
        api = self.registry.find(host)
        if api is None:
            return None
        return self._publish.answer_at_once(key, body, api=api, visit=visit)

    def _enter(self, upgrade: Upgrade) -> bool:
        """Opens a WebSocket without aiohttp; False where that has to say what is wrong."""
        api = self.registry.find(upgrade.headers["Host"])
        if api is None:
            return False
        visit = self._front.welcome(upgrade.transport)
        try:
            link = self._realtime.connect(upgrade, api=api, visit=visit)
        except web.HTTPBadRequest:
            return False
        upgrade.transport.set_protocol(upgrade.protocol)
        self._links.start(link.serve())
        return True

    def _find_api(self, request: web.BaseRequest) -> tuple[Api | None, str]:
        """The API that a request is for, and the path as it would be on AWS."""
        path = request.path
        if not path.startswith(API_PREFIX):
            return self.registry.find(request.headers.get("Host", "")), path
        name, slash, rest = path.removeprefix(API_PREFIX).partition("/")
        return self.registry.get(name), slash + rest

    def _find_door(self, path: str) -> Door | None:
        for prefix, door in self._doors.items():
            if path == prefix or path.startswith(prefix + "/"):
                return door
        return None


def _is_upgrade(request: web.BaseRequest) -> bool:
    return request.headers.get("Upgrade", "").strip().lower() == "websocket"
