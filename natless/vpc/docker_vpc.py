"""A VPC of containers, seen through the agents in them: what :class:`NetnsVpc` is for namespaces.

Both are driven by the same plan, proved by the same probes and give the same sockets and programs.
Who makes the containers is another matter: compose, or :mod:`natless.vpc.docker_engine`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from natless.errors import ComponentFailed
from natless.journal import Journal
from natless.vpc.docker_seats import NETWORK_OF, PROGRAMS_OF, Seat
from natless.vpc.docker_switchboard import Switchboard
from natless.vpc.launch import as_os_error
from natless.vpc.model import Api, Role, Topology
from natless.vpc.plan import encode_plan, render_plan
from natless.vpc.process import VpcProcess, open_outputs
from natless.vpc.proved import ProvedVpc
from natless.vpc.tcp_table import TcpSocket, TcpState

PYTHON = "/usr/local/bin/python3"
"""The interpreter in the containers, at the place it has in the image."""

_TOLD = (Seat.ROUTER, Seat.RESOLVER, Seat.ENDPOINT, Seat.FUNCTION_NET)


class DockerVpc(ProvedVpc):
    """One lab, whose agents have all reported."""

    def __init__(self, switchboard: Switchboard, *, api: Api, ca: Path, journal: Journal) -> None:
        super().__init__(api=api, ca=ca, journal=journal)
        self._switchboard = switchboard

    async def apply(self, topology: Topology) -> None:
        """See :meth:`ProvedVpc.apply`."""
        started = time.monotonic()
        plan = encode_plan(render_plan(topology, api=self.api))
        # The packet filter decides last, so that nothing new passes by an old name.
        others = [seat for seat in _TOLD if seat is not Seat.ROUTER]
        await asyncio.gather(*(self._ask(seat, "apply", plan=plan) for seat in others))
        await self._ask(Seat.ROUTER, "apply", plan=plan)
        self._note_applied(topology, started=started)

    async def listen(
        self, role: Role, address: str = "127.0.0.1", *, port: int = 0
    ) -> socket.socket:
        """A listening socket in somebody's network; the caller closes it.

        Raises:
            ComponentFailed: the port is taken there, or the agent has gone.
        """
        _, descriptors = await self._ask(NETWORK_OF[role], "listen", address=address, port=port)
        return socket.socket(fileno=descriptors[0])

    async def run(
        self,
        role: Role,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> VpcProcess:
        """See :meth:`ProvedVpc.run`; our own interpreter means the container's."""
        line = self._switchboard.line(PROGRAMS_OF[role])
        number, ended = line.expect_ending()
        async with open_outputs() as outputs:
            try:
                reply, _ = await line.ask(
                    "run",
                    descriptors=outputs.descriptors,
                    process=number,
                    argv=[PYTHON if argv[0] == sys.executable else argv[0], *argv[1:]],
                    environment=self._environment_of(role, environment),
                    directory=str(directory or "/"),
                )
            except BaseException:
                line.forget_ending(number)
                raise

        async def send_signal(each: int) -> None:
            with contextlib.suppress(ComponentFailed):  # who has gone has no programs any more
                await line.ask("signal", process=number, signal=each)

        return self._keep(
            VpcProcess(
                pid=reply["pid"],
                stdout=outputs.stdout,
                stderr=outputs.stderr,
                ended=ended,
                send_signal=send_signal,
            )
        )

    async def counters(self) -> dict[str, int]:
        """See :meth:`ProvedVpc.counters`."""
        reply, _ = await self._ask(Seat.ROUTER, "counters")
        found: dict[str, int] = reply["counters"]
        return found

    async def connections(self, role: Role) -> frozenset[TcpSocket]:
        """See :meth:`ProvedVpc.connections`."""
        reply, _ = await self._ask(NETWORK_OF[role], "connections")
        return frozenset(
            TcpSocket(**{**each, "state": TcpState(each["state"])}) for each in reply["connections"]
        )

    async def router_routes(self) -> str:
        """See :meth:`ProvedVpc.router_routes`."""
        reply, _ = await self._ask(Seat.ROUTER, "routes")
        routes: str = reply["routes"]
        return routes

    def close(self) -> None:
        """Closes our ends of the programs' outputs; they end with their agents."""
        self._close_programs()

    async def _ask(
        self,
        seat: Seat,
        do: str,
        **members: Any,  # noqa: ANN401  any JSON
    ) -> tuple[dict[str, Any], list[int]]:
        return await self._switchboard.line(seat).ask(do, **members)


class VpcLauncher:
    """Starts execution environments inside a VPC of containers, for the ``lambda_host``."""

    def __init__(self, vpc: DockerVpc) -> None:
        self._vpc = vpc

    async def listen(self) -> socket.socket:
        """A listening socket on the loopback of the function's network."""
        return await self._vpc.listen(Role.FUNCTION)

    async def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> VpcProcess:
        """A process in the function's container.

        Raises:
            OSError: there is no such program or folder.
            ComponentFailed: the agent has gone.
        """
        try:
            return await self._vpc.run(
                Role.FUNCTION, argv, environment=environment, directory=directory
            )
        except ComponentFailed as error:
            if (plain := as_os_error(str(error))) is None:
                raise
            raise plain from error
