"""A run, as a value: what every form of the report is made from.

::

    records, results, probes ──describe_topology──> TopologyRun ─┐
    relay, platform, seed ───────────────────────────────────────┴> RunDocument ─┬> terminal
                                                                                 ├> report.json
                                                                                 ├> report.html
                                                                                 └> JUnit XML

Seconds are floats inside; the JSON form writes milliseconds, with the unit in the name.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from event_protocol.phases import InvocationRecord, Phase, Strategy
from natless.explain.engine import explain
from natless.explain.evidence import Evidence, NetworkFacts
from natless.explain.seen import PromiseLike, describe_seen, is_kept
from natless.explain.verdict import Verdict
from natless.measure.histogram import Percentiles
from natless.measure.recorder import CallerResult, Recorder

VERSION = 1

_BUILT_OF = {"netns": "Linux network namespaces", "docker": "Docker containers"}


@dataclass(frozen=True, slots=True)
class Platform:
    """The machine of a run."""

    system: str = ""
    kernel: str = ""
    machine: str = ""
    python: str = ""
    cpu_count: int = 0

    @classmethod
    def here(cls) -> Platform:
        """This machine. Its host name and its user stay out of reports, which are passed on."""
        return cls(
            system=platform.system(),
            kernel=platform.release(),
            machine=platform.machine(),
            python=platform.python_version(),
            cpu_count=os.cpu_count() or 0,
        )


@dataclass(frozen=True, slots=True)
class RelayFacts:
    """The channel that stood for AppSync.

    Attributes:
        realtime_host: the name that the function connects to.
        http_host: the name that it publishes to.
        region: the AWS region in these names.
        address: the relay's public address in the network.
        connections: how many realtime connections it accepted, None when not counted.
        events: how many events it delivered, None when not counted.
        ready_seconds: from its start to its ready line, None when not measured.
    """

    realtime_host: str = ""
    http_host: str = ""
    region: str = ""
    address: str = ""
    connections: int | None = None
    events: int | None = None
    ready_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """A check of the network itself, made before anything was measured.

    Attributes:
        name: what was asked, such as ``resolve`` or ``connect from the function``.
        promised: what this probe should see; empty where its name says it.
        seen: what it saw.
        kept: whether these agree.
        seconds: how long it took.
    """

    name: str
    promised: str
    seen: str
    kept: bool
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TopologyRun:
    """Everything about one network of a run.

    Attributes:
        name: such as ``no-nat``.
        title: the same for a reader.
        purpose: a sentence on what it shows.
        promised: what the topology promises, in a few words.
        seen: what the run showed, in a few words.
        kept: whether these agree, probes included.
        total: how many calls were made.
        answered: to how many the function gave an answer, its own or a fallback's.
        by: who answered how many.
        latency: seconds, as the callers saw them.
        phases: seconds of each phase that occurred.
        verdict: the cause, and what would help.
        network: what is known about the network.
        probes: the checks of the network itself.
        invocations: what the guest measured, the first calls of the run.
        results: what the callers got, the first calls of the run.
        opening: the call with which each execution environment began, in which it started and the
            channel was opened; not among ``invocations``, not in any percentile.
        opening_results: what their callers got.
        ready_seconds: from the wish for this network to its being there, None when not measured.
    """

    name: str
    title: str
    promised: str
    seen: str
    kept: bool
    total: int
    answered: int
    verdict: Verdict
    purpose: str = ""
    by: Mapping[Strategy, int] = field(default_factory=dict)
    latency: Percentiles = field(default_factory=Percentiles)
    phases: Mapping[Phase, Percentiles] = field(default_factory=dict)
    network: NetworkFacts = field(default_factory=NetworkFacts)
    probes: tuple[ProbeRun, ...] = ()
    invocations: tuple[InvocationRecord, ...] = ()
    results: tuple[CallerResult, ...] = ()
    opening: tuple[InvocationRecord, ...] = ()
    opening_results: tuple[CallerResult, ...] = ()
    ready_seconds: float | None = None

    @property
    def by_text(self) -> str:
        """Who answered, as a table shows it: ``worker``, ``fallback: deployed``."""
        if not self.by:
            return "nobody"
        names = {strategy: _name_answerer(strategy) for strategy in self.by}
        if len(self.by) == 1 and sum(self.by.values()) == self.total:
            return next(iter(names.values()))
        return ", ".join(f"{names[strategy]} {count}" for strategy, count in self.by.items())


def _name_answerer(strategy: Strategy) -> str:
    if strategy is Strategy.WORKER:
        return "worker"
    return f"worker, by {strategy}" if strategy.is_developers else f"fallback: {strategy}"


@dataclass(frozen=True, slots=True)
class RunDocument:
    """One run of natless.

    Attributes:
        natless: the version that made it.
        seed: what the run's randomness was started with.
        started: wall-clock time in ISO 8601 with its offset.
        seconds: how long the run took.
        network: how the networks were built: ``netns`` or ``docker``.
        topologies: in the order of the run.
        platform: the machine.
        relay: the channel.
        version: of this document's form.
    """

    natless: str
    seed: int
    started: str
    seconds: float
    network: str
    topologies: tuple[TopologyRun, ...]
    platform: Platform = field(default_factory=Platform)
    relay: RelayFacts = field(default_factory=RelayFacts)
    version: int = VERSION

    @property
    def kept(self) -> bool:
        """Whether every topology showed what it promises: the exit code of a run."""
        return all(topology.kept for topology in self.topologies)

    @property
    def built_of(self) -> str:
        """What the networks were made of, for a reader."""
        return _BUILT_OF.get(self.network, self.network)


def describe_topology(
    name: str,
    recorder: Recorder,
    *,
    title: str,
    promise: PromiseLike,
    purpose: str = "",
    network: NetworkFacts | None = None,
    probes: Iterable[ProbeRun] = (),
    opening: Recorder | None = None,
    ready_seconds: float | None = None,
) -> TopologyRun:
    """What a recorder collected on one topology, explained and made ready for a report.

    Args:
        name: of the topology.
        recorder: both sides of its invocations.
        title: for a reader.
        promise: what the topology promises; compared with what the calls showed.
        purpose: a sentence on what the topology shows.
        network: what is known about it from outside the function.
        probes: the checks of the network itself.
        opening: the first call of each execution environment, where these are kept apart.
        ready_seconds: how long it took to be there.
    """
    facts = network or NetworkFacts()
    evidence = Evidence(
        topology=name,
        title=title,
        records=recorder.records,
        results=recorder.results,
        network=facts,
    )
    kept = is_kept(promise, evidence)
    if opening is not None:
        before = replace(evidence, records=opening.records, results=opening.results)
        if before.setback is not None and evidence.failure is None and not evidence.lost:
            # At its first call each guest met the failure, found another way, and kept that.
            kept = kept or is_kept(promise, before)
            evidence = _join(before, evidence)
    measured = recorder.summarize()
    checks = tuple(probes)
    return TopologyRun(
        name=name,
        title=title,
        purpose=purpose,
        promised=promise.text,
        seen=describe_seen(evidence),
        kept=kept and all(check.kept for check in checks),
        total=measured.total,
        answered=measured.answered,
        by=measured.by,
        latency=measured.latency,
        phases=measured.phases,
        verdict=explain(evidence),
        network=facts,
        probes=checks,
        invocations=recorder.records,
        results=recorder.results,
        opening=opening.records if opening else (),
        opening_results=opening.results if opening else (),
        ready_seconds=ready_seconds,
    )


def _join(first: Evidence, then: Evidence) -> Evidence:
    return replace(
        then, records=(*first.records, *then.records), results=(*first.results, *then.results)
    )
