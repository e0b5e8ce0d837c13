"""What every VPC of ours can do once it is up, however it is built: show that it keeps its word."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from natless.journal import Journal
from natless.vpc.judgement import ProbeResult
from natless.vpc.model import Api, Role, Topology
from natless.vpc.plan import describe_told
from natless.vpc.probes import check, prove
from natless.vpc.process import VpcProcess
from natless.vpc.tcp_table import TcpSocket


class ProvedVpc(ABC):
    """The part of a VPC that both ways to build one share.

    Attributes:
        api: the names of the Event API that the lab knows.
    """

    def __init__(self, *, api: Api, ca: Path, journal: Journal) -> None:
        self.api = api
        self._ca = ca
        self._journal = journal
        self._told: Mapping[str, str] = {}
        self._programs: list[VpcProcess] = []

    def _note_applied(self, topology: Topology, *, started: float) -> None:
        self._told = describe_told(topology)
        self._journal.record(
            "vpc.topology.applied",
            source="vpc",
            topology=topology.name,
            seconds=time.monotonic() - started,
        )

    def _keep(self, program: VpcProcess) -> VpcProcess:
        """Remembers a program that was started, and forgets those that are over."""
        self._programs = [each for each in self._programs if not each.is_over] + [program]
        return program

    def _close_programs(self) -> None:
        """Closes our ends of the programs' outputs; they themselves end with the lab."""
        for program in self._programs:
            program.close()

    def _environment_of(self, role: Role, wanted: Mapping[str, str]) -> dict[str, str]:
        """What a program gets: what a function is told in this network is part of the network."""
        return {**wanted, **self._told} if role is Role.FUNCTION else dict(wanted)

    @abstractmethod
    async def apply(self, topology: Topology) -> None:
        """Makes the lab into a topology, in one step for packets.

        What becomes of running connections is what becomes of them on AWS.

        Raises:
            ComponentFailed: the lab is broken, or refused.
        """

    @abstractmethod
    async def run(
        self,
        role: Role,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> VpcProcess:
        """Starts a program in somebody's place. It ends with the lab at the latest.

        Args:
            role: whose place.
            argv: the program and its arguments, looked up in the PATH of ``environment``.
            environment: its environment; a function gets besides what the topology tells it.
            directory: its working directory, ``/`` when not given.

        Raises:
            ComponentFailed: it could not be started.
        """

    @abstractmethod
    async def counters(self) -> dict[str, int]:
        """How many packets each rule of the router has matched since the last :meth:`apply`."""

    @abstractmethod
    async def connections(self, role: Role) -> frozenset[TcpSocket]:
        """The TCP sockets of somebody's network, but for those that listen."""

    @abstractmethod
    async def router_routes(self) -> str:
        """The router's IPv4 routes, as the kernel prints them."""

    async def probe(self, topology: Topology) -> tuple[ProbeResult, ...]:
        """Applies a topology and looks whether it shows what it promises; see :func:`prove`.

        Somebody must accept on the relay's sockets and answer over TLS. Other traffic should rest.

        Raises:
            ComponentFailed: the lab is broken.
        """
        started = time.monotonic()
        results = await prove(self, topology, ca=self._ca)
        for result in results:
            self._journal.record(
                "vpc.probe.complete" if result.is_ok else "vpc.probe.failed",
                source="vpc",
                topology=topology.name,
                probe=result.name,
                seen=result.sentence,
            )
        self._journal.record(
            "vpc.topology.probed",
            source="vpc",
            topology=topology.name,
            is_ok=all(result.is_ok for result in results),
            seconds=time.monotonic() - started,
        )
        return results

    async def verify(self, topology: Topology) -> tuple[ProbeResult, ...]:
        """Likewise, and accepts nothing else than the promise.

        Raises:
            PromiseBroken: with what was seen instead.
            ComponentFailed: the lab is broken.
        """
        results = await self.probe(topology)
        check(topology, results)
        return results
