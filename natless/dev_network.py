"""The network of the development loop, while functions live in it: changed and proved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from natless.errors import UsageError
from natless.journal import Journal
from natless.lambda_host.host import LambdaHost
from natless.report.document import ProbeRun
from natless.scenario.network_facts import describe_probe
from natless.vpc.backend import LabVpc
from natless.vpc.model import Topology


class DevNetwork:
    """One or more VPCs that are changed as one.

    Args:
        topology: what they are now; with several, what the first one is.
        journal: takes what changes.
    """

    def __init__(self, *, topology: Topology | None, journal: Journal) -> None:
        self.current = topology
        self._journal = journal
        self._vpcs: list[LabVpc] = []
        self._hosts: list[LambdaHost] = []
        self._changing = asyncio.Lock()

    def add_vpc(self, vpc: LabVpc) -> None:
        """Another VPC that is changed with the rest."""
        self._vpcs.append(vpc)

    def add_host(self, host: LambdaHost) -> None:
        """A function that lives in one of them."""
        self._hosts.append(host)

    async def change(self, topology: Topology, *, keep: bool = False) -> float:
        """Makes the network into another topology; returns the seconds that took.

        Args:
            topology: what it becomes.
            keep: go on with the execution environments that are running, and with the connections
                they have, as when a route or a rule changes on AWS. Otherwise the next call starts
                a new environment, as when the function's own VPC settings change.

        Raises:
            UsageError: the functions are in no network of ours.
            ComponentFailed: the network did not take it; what holds now is unknown.
        """
        if not self._vpcs:
            raise UsageError(
                "the functions are on this machine's own network, which nobody changes here",
                hint="start the loop in a network: natless dev --topology nat",
            )
        async with self._changing:
            started = time.monotonic()
            for vpc in self._vpcs:
                await vpc.apply(topology)
            self.current = topology
            if not keep:
                for host in self._hosts:
                    host.renew()
            seconds = time.monotonic() - started
            self._journal.record(
                "dev.network.changed",
                source="dev",
                topology=topology.name,
                functions=[host.spec.name for host in self._hosts],
                seconds=seconds,
            )
            return seconds

    async def verify(self) -> Sequence[ProbeRun]:
        """Proves by probes that the network shows what it promises, and leaves it as it is.

        Raises:
            ComponentFailed: the network broke.
        """
        async with self._changing:
            assert self.current is not None
            results = [await vpc.probe(self.current) for vpc in self._vpcs]
            return [describe_probe(each) for probes in results for each in probes]
