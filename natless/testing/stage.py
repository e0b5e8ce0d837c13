"""What lives in the loop of a test's lab: the lab, and the function on the network that holds."""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from event_protocol.phases import InvocationRecord
from natless.explain import Evidence, explain
from natless.journal import Fact, Journal
from natless.lab import Lab, open_lab
from natless.lambda_host.host import InvokeResult, LambdaHost
from natless.measure.function_error import FunctionError
from natless.measure.recorder import Recorder
from natless.progress import Progress
from natless.report.document import (
    Platform,
    ProbeRun,
    RelayFacts,
    RunDocument,
    TopologyRun,
)
from natless.scenario.network_facts import (
    count_dropped_syns,
    describe_network,
    describe_probe,
    describe_run,
)
from natless.settings import Settings
from natless.testing.call import Call
from natless.vpc.model import ADDRESSES, Topology
from natless.vpc.topologies import find

FIRST_TOPOLOGY = "nat"
_KEPT_CALLS = 100  # of which the handler's output is kept
_KEPT_LINES = 50  # of each


@dataclass(slots=True)
class _Visit:
    """What was seen on one topology."""

    topology: Topology
    probes: tuple[ProbeRun, ...]
    recorder: Recorder = field(default_factory=Recorder)
    syns_dropped: int | None = None


class Stage:
    """The lab and its function; every method runs in the lab's loop.

    Attributes:
        lab: what is up.
        topology: the network that holds.
        output: what the handler printed, by request id.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.topology: Topology = find(FIRST_TOPOLOGY)
        self.output: OrderedDict[str, deque[str]] = OrderedDict()
        self._visits: dict[str, _Visit] = {}
        self._started, self._wall = time.monotonic(), datetime.now(UTC).astimezone()
        self._host: LambdaHost | None = None
        self._records: dict[str, InvocationRecord] = {}
        lab.journal.listen(self._take)

    async def describe(self) -> RunDocument:
        """Every call so far, as a report has it; a network without a call is left out."""
        visits = [visit for visit in self._visits.values() if visit.recorder.results]
        relay = self.lab.relay
        return RunDocument(
            natless=version("natless"),
            seed=0,
            started=self._wall.isoformat(timespec="seconds"),
            seconds=time.monotonic() - self._started,
            network=self.lab.network,
            topologies=tuple(_describe(visit) for visit in visits),
            platform=Platform.here(),
            relay=RelayFacts(
                realtime_host=relay.realtime_host,
                http_host=relay.http_host,
                region=self.lab.settings.region,
                address=ADDRESSES.internet.address,
            ),
        )

    async def use_named(self, name: str) -> None:
        """Likewise by its name; nothing happens when it holds already.

        Raises:
            UsageError: there is no such topology.
            PromiseBroken: it does not do what it promises.
        """
        topology = find(name)
        if topology is not self.topology:
            await self.use(topology)

    async def use(self, topology: Topology) -> None:
        """Changes the network; proves its promise the first time.

        Raises:
            PromiseBroken: it does not do what it promises.
        """
        await self.restart()
        if topology.name in self._visits:
            await self.lab.vpc.apply(topology)
        else:
            probes = await self.lab.show(topology)
            shown = tuple(describe_probe(each) for each in probes)
            self._visits[topology.name] = _Visit(topology, shown)
        self.topology = topology

    async def restart(self) -> None:
        """Ends the execution environments once they are idle."""
        host, self._host = self._host, None
        if host is not None:
            await host.settled()
            await host.__aexit__(None, None, None)

    async def invoke(self, payload: bytes) -> Call:
        """Calls the function once."""
        topology = self.topology
        if self._host is None:
            self._host = self.lab.function(environments=self.lab.settings.demo.environments)
            self._host.on_record(self._keep)
            await self._host.__aenter__()
        result = await self._host.invoke(payload, log_tail=True)
        return await self._judge(result, topology)

    async def _judge(self, result: InvokeResult, topology: Topology) -> Call:
        """Both sides of a call together; with its log came the guest's record."""
        recorder, record = Recorder(), self._records.pop(result.request_id, None)
        visit = self._visits[topology.name]
        for each in (recorder, visit.recorder):
            each.add_result(self.lab.judge(result))
            if record is not None:
                each.add_record(record)
        dropped = count_dropped_syns(topology, await self.lab.vpc.counters())
        visit.syns_dropped = dropped
        evidence = Evidence(
            topology=topology.name,
            title=topology.title,
            records=recorder.records,
            results=recorder.results,
            network=describe_network(topology, syns_dropped=dropped),
        )
        caller = recorder.results[0]
        error = FunctionError(caller.error_type, caller.error_message, caller.error_trace)
        return Call(
            topology=topology.name,
            answer=_decode(result.payload),
            error=error if result.function_error else None,
            is_answered=caller.answered,
            seconds=caller.duration,
            verdict=explain(evidence),
            record=record,
            log=result.log_tail.decode(errors="replace"),
            _evidence=evidence,
        )

    def _keep(self, record: InvocationRecord) -> None:
        self._records[record.request_id] = record

    def _take(self, fact: Fact) -> None:
        if fact.kind != "worker.log":
            return
        request_id = str(fact.data.get("request_id", ""))
        self.output.setdefault(request_id, deque(maxlen=_KEPT_LINES)).append(
            str(fact.data.get("line", ""))
        )
        if len(self.output) > _KEPT_CALLS:
            self.output.popitem(last=False)


@asynccontextmanager
async def open_stage(
    settings: Settings, *, directory: Path, progress: Progress
) -> AsyncIterator[Stage]:
    """A lab whose network is the first one, proved to work; down again with the block."""
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(
            open_lab(settings, journal=Journal(), progress=progress, directory=directory)
        )
        stage = Stage(lab)
        stack.push_async_callback(stage.restart)
        with progress.step(f"network {FIRST_TOPOLOGY}: proving that it works"):
            await stage.use(find(FIRST_TOPOLOGY))
        yield stage


def _decode(payload: bytes) -> Any:  # noqa: ANN401  any JSON
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload


def _describe(visit: _Visit) -> TopologyRun:
    return describe_run(
        visit.topology,
        visit.recorder,
        syns_dropped=visit.syns_dropped,
        probes=visit.probes,
    )
