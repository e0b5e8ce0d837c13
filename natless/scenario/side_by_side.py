"""The same function on several networks, one after the other, each measured and explained."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from natless.errors import raising_first
from natless.journal import Fact, Journal
from natless.lab import Lab, open_lab
from natless.lambda_host.host import InvokeResult, LambdaHost
from natless.measure.recorder import CallerResult, Recorder
from natless.progress import Progress, Step
from natless.report.document import (
    Platform,
    RelayFacts,
    RunDocument,
    TopologyRun,
)
from natless.scenario.network_facts import (
    count_dropped_syns,
    describe_probe,
    describe_run,
)
from natless.settings import Settings
from natless.vpc.backend import Network
from natless.vpc.model import ADDRESSES, Topology

Judge = Callable[[InvokeResult], CallerResult]
"""Makes of a reply what its caller got."""


async def run_side_by_side(
    settings: Settings,
    topologies: Sequence[Topology],
    *,
    journal: Journal,
    progress: Progress,
    directory: Path,
    network: Network | None = None,
) -> RunDocument:
    """Brings a lab up, runs every topology, and takes the lab down again.

    Args:
        settings: the function, how many invocations, the seed.
        topologies: in the order in which they are shown.
        journal: takes every fact of the run.
        progress: is told what is being done.
        directory: a folder for this run alone.
        network: what to build the networks of, where that is decided already.

    Raises:
        NatlessError: a part did not come up, or a network does not fail as it promises.
    """
    started, wall = time.monotonic(), datetime.now(UTC).astimezone()
    counts = _RelayCounts()
    journal.listen(counts.take)
    opening = open_lab(
        settings, journal=journal, progress=progress, directory=directory, network=network
    )
    async with opening as lab:
        runs = [await _run_topology(lab, topology, progress) for topology in topologies]
    return RunDocument(
        natless=version("natless"),
        seed=settings.demo.seed,
        started=wall.isoformat(timespec="seconds"),
        seconds=time.monotonic() - started,
        network=lab.network,
        topologies=tuple(runs),
        platform=Platform.here(),
        relay=RelayFacts(
            realtime_host=lab.relay.realtime_host,
            http_host=lab.relay.http_host,
            region=settings.region,
            address=ADDRESSES.internet.address,
            connections=counts.connections,
            events=counts.events,
        ),
    )


async def _run_topology(lab: Lab, topology: Topology, progress: Progress) -> TopologyRun:
    demo = lab.settings.demo
    lab.journal.record("scenario.topology.started", source="scenario", topology=topology.name)
    with progress.step(f"{topology.name}: {topology.title}") as step:
        began = time.monotonic()
        step.say("probing what the network promises")
        probes = await lab.show(topology)
        ready_seconds = time.monotonic() - began
        # Where calls wait for a budget, the waiting is shared; where they work, one call at a time
        # through one execution environment is what a developer sees.
        environments = (
            1 if topology.promise.is_working else min(demo.environments, demo.invocations)
        )
        calls = _Calls(make_events(environments + demo.invocations, seed=demo.seed), lab.judge)
        async with lab.function(environments=environments) as function:
            make = functools.partial(calls.make, function, at_once=environments, step=step)
            opening = await make(environments, what="first calls (cold starts)")
            measured = await make(demo.invocations, what="calls")
        syns_dropped = count_dropped_syns(topology, await lab.vpc.counters())
    run = describe_run(
        topology,
        measured,
        syns_dropped=syns_dropped,
        probes=[describe_probe(probe) for probe in probes],
        opening=opening,
        ready_seconds=ready_seconds,
    )
    lab.journal.record(
        "scenario.topology.complete",
        source="scenario",
        topology=topology.name,
        kept=run.kept,
        seen=run.seen,
    )
    return run


class _Calls:
    """Makes the calls of one topology, from one row of events."""

    def __init__(self, events: Iterator[bytes], judge: Judge) -> None:
        self._events = events
        self._judge = judge

    async def make(
        self, function: LambdaHost, count: int, *, at_once: int, step: Step, what: str
    ) -> Recorder:
        """Invokes ``count`` times, ``at_once`` at a time; returns what both sides saw."""
        recorder, results, done = Recorder(), list[InvokeResult](), 0
        step.say(f"0 of {count} {what} answered")
        waiting = iter(list(itertools.islice(self._events, count)))

        async def call_in_turn() -> None:
            nonlocal done
            for event in waiting:
                results.append(await function.invoke(event))
                done += 1
                step.say(f"{done} of {count} {what} answered")

        end = function.on_record(recorder.add_record)
        with raising_first():
            async with asyncio.TaskGroup() as group:
                for _ in range(min(at_once, count)):
                    group.create_task(call_in_turn())
        await function.settled()  # a record leaves as a log line, after the answer
        for result in results:
            recorder.add_result(self._judge(result))
        end()
        return recorder


def make_events(count: int, *, seed: int) -> Iterator[bytes]:
    """Events in the form of a function URL's (payload format 2.0), the same for the same seed."""
    rng = random.Random(seed)
    for number in range(count):
        yield json.dumps(
            {
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": f"/orders/{rng.randrange(1000)}",
                "rawQueryString": "",
                "headers": {"accept": "application/json", "host": "function.example"},
                "requestContext": {
                    "http": {
                        "method": "GET",
                        "path": "/orders",
                        "protocol": "HTTP/1.1",
                        "sourceIp": "127.0.0.1",
                        "userAgent": "natless",
                    },
                    "requestId": f"{rng.getrandbits(64):016x}",
                    "stage": "$default",
                },
                "isBase64Encoded": False,
                "number": number,
            }
        ).encode()


class _RelayCounts:
    """Counts what the relay says of its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.events = 0

    def take(self, fact: Fact) -> None:
        if fact.kind == "relay.connection.opened" and fact.data.get("transport") == "realtime":
            self.connections += 1
        elif fact.kind == "relay.connection.closed":
            self.events += int(fact.data.get("delivered", 0))
