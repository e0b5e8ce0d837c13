"""The phases of an opening, each under a budget of its own.

::

    resolve ─ connect ─ tls ─ upgrade ─ init ─ subscribe ─ probe
                                               ▲─────────── once more, if nothing came back
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

from event_protocol.frames import ConnectionInit, Frame
from event_protocol.handshake import offer
from event_protocol.phases import Outcome, Phase
from runtime_shim.budgets import Allowance, Profile, Wait
from runtime_shim.config import ShimConfig
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.names import resolve
from runtime_shim.routes import Endpoint, Proxy, Route
from runtime_shim.timing import SpanLog
from runtime_shim.tunnel import open_tunnel
from runtime_shim.wire import Wire

if TYPE_CHECKING:
    from runtime_shim.link import Link

SUBSCRIPTION_TRIES = 2  # one that delivers nothing is asked for once more


class Opening:
    """The phases of an opening, in their order, and the facts that they pass on."""

    def __init__(
        self,
        link: Link,
        config: ShimConfig,
        *,
        route: Route,
        allowance: Allowance,
        spans: SpanLog,
    ) -> None:
        self._link = link
        self._config = config
        self._route = route
        self._target = route.target
        self._hop: Endpoint = route.target if route.proxy is None else route.proxy.endpoint
        self._allowance = allowance
        self._spans = spans

    async def run(self, context: ssl.SSLContext) -> None:
        """Opens the link. Raises ``PhaseFailed`` at the first phase that does not end well."""
        addresses = await self._resolve()
        connection, peer = await self._connect(addresses)
        if self._route.proxy is not None:
            await self._open_tunnel(connection, self._route.proxy, peer=peer)
        wire = await self._shake_hands(connection, context=context, peer=peer)
        self._link.attach(wire)
        await self._upgrade(wire, peer)
        await self._ask(Phase.INIT, "connect.ack", ConnectionInit(), peer=peer)
        try:
            await self._ask(Phase.SUBSCRIBE, "subscribe.ack", self._link.subscribe(), peer=peer)
        except PhaseFailed:
            if self._config.profile is not Profile.SST:
                raise  # SST's bridge goes on without a subscription, and hears nothing
        if self._allowance.budgets.subscribe_live > 0:
            await self._prove(peer)

    async def _prove(self, peer: str) -> None:
        """Proves the subscription; one that delivers nothing is replaced by another, once."""
        for attempt in range(1, SUBSCRIPTION_TRIES + 1):
            if attempt > 1:
                again = self._link.subscribe()
                await self._ask(Phase.SUBSCRIBE, "subscribe.ack", again, peer=peer)
            try:
                await self._prove_once(peer, attempt)
            except PhaseFailed as failed:
                is_last = attempt == SUBSCRIPTION_TRIES or failed.span.detail.get("clipped")
                if failed.span.outcome is not Outcome.TIMEOUT or is_last:
                    raise
            else:
                return

    async def _prove_once(self, peer: str, attempt: int) -> None:
        wait = self._wait("subscribe.live")
        detail = self._facts(peer) | {"attempt": attempt}
        async with self._spans.observe(Phase.PROBE, wait, detail):
            try:
                await self._link.prove(wait.seconds)
            except Obstacle as obstacle:
                if obstacle.outcome is not Outcome.DENIED:
                    raise
                # Who may not publish to its own channel may still be answered on it.
                detail["unproven"] = obstacle.facts.get("error_type", str(obstacle.outcome))

    def _wait(self, name: str) -> Wait:
        return self._allowance.wait(name, now=self._spans.now())

    async def _resolve(self) -> list[Any]:
        detail: dict[str, Any] = {"host": self._hop.host, "port": self._hop.port}
        async with self._spans.observe(Phase.RESOLVE, self._wait("connect.dns"), detail):
            found = await resolve(self._hop, self._route.family)
            detail["addresses"] = [address[4][0] for address in found]
        return found

    async def _connect(self, addresses: list[Any]) -> tuple[socket.socket, str]:
        """Tries the addresses in order; each gets its share of what is left of the budget."""
        wait = self._wait("connect.tcp")
        started = self._spans.now()
        detail: dict[str, Any] = {"host": self._hop.host, "port": self._hop.port}
        async with self._spans.observe(Phase.CONNECT, wait, detail):
            for index, (family, kind, protocol, _, address) in enumerate(addresses):
                detail |= {"address": address[0], "attempt": index + 1}
                left = wait.seconds - (self._spans.now() - started)
                is_last = index + 1 == len(addresses)
                share = wait.seconds if is_last else left / (len(addresses) - index)
                connection = socket.socket(family, kind, protocol)
                try:
                    async with asyncio.timeout(share):
                        await _connect_socket(connection, address)
                    return connection, str(address[0])
                except OSError:
                    connection.close()
                    if is_last:
                        raise
                except BaseException:
                    connection.close()
                    raise
        raise AssertionError("getaddrinfo gave no address")  # it raises instead

    async def _open_tunnel(self, connection: socket.socket, proxy: Proxy, *, peer: str) -> None:
        """Asks the proxy for the target: still connecting, as the target's TCP is the proxy's."""
        detail = self._facts(peer) | {"proxy": str(proxy.endpoint)}
        try:
            async with self._spans.observe(Phase.CONNECT, self._wait("connect.tcp"), detail):
                await open_tunnel(connection, self._target, authorization=proxy.authorization)
        except BaseException:
            connection.close()
            raise

    async def _shake_hands(
        self, connection: socket.socket, *, context: ssl.SSLContext, peer: str
    ) -> Wire:
        authorization = {"host": self._route.http_host, "x-api-key": self._config.api_key}
        try:
            async with self._spans.observe(Phase.TLS, self._wait("connect.tls"), self._facts(peer)):
                return await Wire.start_tls(
                    connection,
                    context=context,
                    uri=f"wss://{self._target}/event/realtime",
                    subprotocols=offer(authorization),
                )
        except BaseException:
            connection.close()
            raise
        raise AssertionError  # the block above returns or raises; type checkers cannot see it

    async def _upgrade(self, wire: Wire, peer: str) -> None:
        wait = self._wait("connect.upgrade")
        async with self._spans.observe(
            Phase.UPGRADE, wait, self._facts(peer), on_timeout=wire.unfinished_refusal
        ):
            await wire.upgrade()

    async def _ask(self, phase: Phase, budget: str, frame: Frame, *, peer: str) -> None:
        async with self._spans.observe(phase, self._wait(budget), self._facts(peer)):
            await self._link.ask(frame)

    def _facts(self, peer: str) -> dict[str, Any]:
        return {"host": self._target.host, "port": self._target.port, "address": peer}


async def _connect_socket(connection: socket.socket, address: Any) -> None:  # noqa: ANN401  a family's own shape
    connection.setblocking(False)  # asyncio switches Nagle's algorithm off by itself
    await asyncio.get_running_loop().sock_connect(connection, address)
