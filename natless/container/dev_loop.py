"""The function on a network that can be changed while it is used, and what was seen so far."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from event_protocol.phases import InvocationRecord
from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec, InvokeResult, LambdaHost
from natless.lambda_host.output import Redactor
from natless.measure.recorder import CallerResult, Recorder
from natless.report.document import (
    Platform,
    ProbeRun,
    RelayFacts,
    RunDocument,
    TopologyRun,
)
from natless.scenario.network_facts import count_dropped_syns, describe_probe, describe_run
from natless.vpc.docker_vpc import DockerVpc, VpcLauncher
from natless.vpc.model import ADDRESSES, Topology

ENVIRONMENTS = 10
"""Execution environments at once: so many callers are answered side by side."""

RECORD_BUDGET = 1.0
"""Seconds for the guest's record of an answered call: it leaves as a log line, after the answer."""

_FOLDERS = (Path("/app"), Path("/var/task"))  # the developer's code, and as it was deployed


@dataclass(slots=True)
class _Visit:
    """What was seen on one topology since it was last applied."""

    topology: Topology
    recorder: Recorder = field(default_factory=Recorder)
    probes: tuple[ProbeRun, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)  # answered calls, their records not here yet
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def add_result(self, result: CallerResult) -> None:
        """Takes the caller's side; where there was an answer, a record follows."""
        self.recorder.add_result(result)
        if result.answered and self.recorder.knows_one_side(result.request_id):
            self.awaited.add(result.request_id)
            self.complete.clear()

    def add_record(self, record: InvocationRecord) -> None:
        """Takes the guest's side."""
        self.recorder.add_record(record)
        self.awaited.discard(record.request_id)
        if not self.awaited:
            self.complete.set()

    async def settle(self) -> None:
        """Waits for the records of answered calls, for each at most once."""
        if self.awaited:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECORD_BUDGET):
                    await self.complete.wait()
            self.awaited.clear()


class DevLoop:
    """Invokes, changes the network, and reports. Use it as an async context manager.

    Attributes:
        vpc: the network.
        spec: the function.
        current: the topology that is applied.
    """

    def __init__(
        self, vpc: DockerVpc, spec: FunctionSpec, *, topology: Topology, journal: Journal
    ) -> None:
        self.vpc = vpc
        self.spec = spec
        self.current = topology
        self._journal = journal
        self._started = time.monotonic()
        self._wall = datetime.now(UTC)
        self._visits: dict[str, _Visit] = {}
        self._host: LambdaHost | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.change(self.current)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        if self._host is not None:
            await self._host.__aexit__(None, None, None)
            self._host = None

    async def change(self, topology: Topology, *, keep: bool = False) -> float:
        """Makes the network into another topology; returns the seconds that took.

        Args:
            topology: what it becomes.
            keep: go on with the execution environments that are running, and with the connections
                they have, as when a route or a rule changes on AWS. Otherwise the next call starts
                a new environment, as when the function's own VPC settings change.

        Raises:
            ComponentFailed: the network did not take it; what holds now is unknown.
        """
        async with self._changing:
            started = time.monotonic()
            await self._remember_counters()
            await self.vpc.apply(topology)
            self.current = topology
            self._visits.pop(topology.name, None)
            self._visits[topology.name] = _Visit(topology)
            if not keep or self._host is None:
                self._renew()
            return time.monotonic() - started

    async def verify(self) -> tuple[ProbeRun, ...]:
        """Proves by probes that the network shows what it promises, and leaves it as it is.

        Raises:
            ComponentFailed: an agent has gone.
        """
        async with self._changing:
            results = await self.vpc.probe(self.current)
            probes = tuple(describe_probe(result) for result in results)
            self._visits[self.current.name].probes = probes
            return probes

    async def invoke(
        self, payload: bytes, *, client_context: str | None = None, log_tail: bool = False
    ) -> InvokeResult:
        """Runs the function once, as a synchronous ``Invoke`` does."""
        host, visit = self._host, self._visits[self.current.name]
        assert host is not None
        result = await host.invoke(payload, client_context=client_context, log_tail=log_tail)
        if result.status == 200:
            visit.add_result(
                CallerResult.from_reply(
                    result.request_id,
                    result.payload,
                    function_error=result.function_error,
                    started=result.started,
                    finished=result.finished,
                    frozen=result.frozen,
                    folders=_FOLDERS,
                    mask=Redactor(self.spec.environment),
                )
            )
        return result

    async def describe_current(self) -> TopologyRun | None:
        """What was seen on the topology that holds, None before the first call."""
        visit = self._visits[self.current.name]
        await visit.settle()
        await self._remember_counters()
        return _describe(visit) if visit.recorder.results else None

    async def report(self) -> RunDocument:
        """Everything that was seen, the topologies in the order in which they were last applied."""
        await asyncio.gather(*(visit.settle() for visit in self._visits.values()))
        await self._remember_counters()
        visits = [visit for visit in self._visits.values() if visit.recorder.results]
        return RunDocument(
            natless=version("natless"),
            seed=0,
            started=self._wall.astimezone().isoformat(timespec="seconds"),
            seconds=time.monotonic() - self._started,
            network="docker",
            topologies=tuple(_describe(visit) for visit in visits),
            platform=Platform.here(),
            relay=RelayFacts(
                realtime_host=self.vpc.api.realtime_host,
                http_host=self.vpc.api.http_host,
                region=self.vpc.api.region,
                address=ADDRESSES.internet.address,
            ),
        )

    def _renew(self) -> None:
        old = self._host
        host = LambdaHost(
            self.spec,
            launcher=VpcLauncher(self.vpc),
            journal=self._journal,
            concurrency=ENVIRONMENTS,
        )
        host.on_record(self._take_record)
        self._host = host
        if old is not None:
            task = asyncio.create_task(_retire(old))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _take_record(self, record: InvocationRecord) -> None:
        self._visits[self.current.name].add_record(record)
        self._journal.record(
            "loop.invocation.explained",
            source="loop",
            topology=self.current.name,
            strategy=str(record.strategy),
            request_id=record.request_id,
        )

    async def _remember_counters(self) -> None:
        """The router counts from one change to the next; what it counted belongs to the visit."""
        if (visit := self._visits.get(self.current.name)) is not None:
            visit.counters = await self.vpc.counters()


async def _retire(host: LambdaHost) -> None:
    """Calls that are under way are answered first."""
    with contextlib.suppress(asyncio.CancelledError):
        await host.settled()
    await host.__aexit__(None, None, None)


def _describe(visit: _Visit) -> TopologyRun:
    return describe_run(
        visit.topology,
        visit.recorder,
        syns_dropped=count_dropped_syns(visit.topology, visit.counters),
        probes=visit.probes,
    )
