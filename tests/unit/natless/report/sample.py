"""A run made by hand and by seed: four topologies, 20 calls each, as the demo measures them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.explain import Dropper, NetworkFacts
from natless.measure import CallerResult, Recorder
from natless.report.document import (
    Platform,
    ProbeRun,
    RelayFacts,
    RunDocument,
    TopologyRun,
    describe_topology,
)

REALTIME = "q4k2n7d5vjc3hexp6yzt0wabrm.appsync-realtime-api.us-east-1.amazonaws.com"
HTTP = "q4k2n7d5vjc3hexp6yzt0wabrm.appsync-api.us-east-1.amazonaws.com"
RELAY = "198.51.100.10"
ENDPOINT = "10.0.9.10"
WORKER_ID = "5e1c0ad2f3b44a7e9d86b1c2a3f40517"

Spans = tuple[Span, ...]


@dataclass(frozen=True)
class Promise:
    text: str
    phase: Phase = Phase.REPLY
    outcome: Outcome = Outcome.OK
    http_status: int | None = None


WORKS = Promise("works")
SILENCE = Promise("SYN gets no answer", Phase.CONNECT, Outcome.TIMEOUT)
REFUSAL = Promise("endpoint refuses", Phase.UPGRADE, Outcome.HTTP_ERROR, 403)


class Clock:
    """Lays phases end to end."""

    def __init__(self, at: float, rng: random.Random) -> None:
        self.at = at
        self.rng = rng

    def span(
        self,
        phase: Phase,
        milliseconds: float,
        *,
        outcome: Outcome = Outcome.OK,
        budget: str = "",
        budget_seconds: float = 0.0,
        exact: bool = False,
        **detail: object,
    ) -> Span:
        started = self.at + self.rng.uniform(0.00002, 0.00008)
        seconds = milliseconds / 1000 * (1.0 if exact else self.rng.uniform(0.8, 1.5))
        self.at = started + seconds
        return Span(phase, started, self.at, outcome, budget, budget_seconds, detail)


def resolve(clock: Clock, address: str) -> Span:
    return clock.span(
        Phase.RESOLVE, 1.9, budget="connect.dns", budget_seconds=2.0,
        host=REALTIME, addresses=[address],
    )  # fmt: skip


def open_channel(clock: Clock) -> Iterator[Span]:
    yield resolve(clock, RELAY)
    yield clock.span(
        Phase.CONNECT, 0.3, budget="connect.tcp", budget_seconds=3.0, address=RELAY, port=443
    )
    yield clock.span(Phase.TLS, 2.4, budget="connect.tls", budget_seconds=5.0, host=REALTIME)
    yield clock.span(Phase.UPGRADE, 1.1, budget="connect.upgrade", budget_seconds=5.0, status=101)
    yield clock.span(Phase.INIT, 0.6, budget="connect.ack", budget_seconds=5.0)
    subscribe = clock.span(Phase.SUBSCRIBE, 0.7, budget="subscribe.ack", budget_seconds=3.0)
    middle = (subscribe.started + subscribe.finished) / 2
    yield replace(subscribe, finished=middle)
    yield Span(Phase.PROBE, middle, subscribe.finished, Outcome.OK, "subscribe.live", 2.0)


def call_worker(clock: Clock, *, cold: bool) -> Spans:
    opening = tuple(open_channel(clock)) if cold else ()
    return (
        *opening,
        clock.span(
            Phase.PUBLISH, 2.1, budget="publish.total", budget_seconds=8.0,
            host=HTTP, address=RELAY, status=200, bytes=1874,
        ),
        clock.span(Phase.DELIVER, 0.8, budget="dev.first", budget_seconds=5.0),
        clock.span(Phase.HANDLE, 4.2, budget="dev.silence", budget_seconds=15.0),
        clock.span(Phase.REPLY, 0.9),
    )  # fmt: skip


def meet_silence(clock: Clock, *, cold: bool) -> Spans:
    return (
        resolve(clock, RELAY),
        clock.span(
            Phase.CONNECT, 3000.4, exact=True, outcome=Outcome.TIMEOUT,
            budget="connect.tcp", budget_seconds=3.0, address=RELAY, port=443,
        ),
    )  # fmt: skip


def meet_endpoint(clock: Clock, *, cold: bool) -> Spans:
    return (
        resolve(clock, ENDPOINT),
        clock.span(
            Phase.CONNECT, 0.3, budget="connect.tcp", budget_seconds=3.0, address=ENDPOINT, port=443
        ),
        clock.span(Phase.TLS, 2.8, budget="connect.tls", budget_seconds=5.0, host=REALTIME),
        clock.span(
            Phase.UPGRADE, 1.4, outcome=Outcome.HTTP_ERROR,
            budget="connect.upgrade", budget_seconds=5.0, status=403, message="Forbidden",
        ),
    )  # fmt: skip


def record_calls(
    make: Callable[..., Spans], *, strategy: Strategy, at: float, rng: random.Random, note: str = ""
) -> Recorder:
    recorder = Recorder()
    for index in range(20):
        clock = Clock(at, rng)
        spans = make(clock, cold=index == 0)
        if strategy is Strategy.DEPLOYED:
            clock.at += rng.uniform(0.0035, 0.006)
        request_id = f"{rng.getrandbits(32):08x}-0000-4000-8000-{index:012x}"
        recorder.add_record(
            InvocationRecord(
                request_id=request_id,
                worker_id=WORKER_ID,
                cold=index == 0,
                strategy=strategy,
                started=at,
                finished=clock.at,
                spans=spans,
                note=note,
            )
        )
        recorder.add_result(
            CallerResult(request_id, at - (0.0006 if index else 0.12), clock.at + 0.0005)
        )
        at = clock.at + 0.004
    return recorder


def probes(*, resolves_to: str, connect: str, kept: bool = True) -> tuple[ProbeRun, ...]:
    return (
        ProbeRun(
            "resolve the realtime name",
            f"answers {resolves_to}",
            f"answers {resolves_to}",
            True,
            0.0021,
        ),
        ProbeRun("open the channel", connect, connect, kept, 1.0 if "SYN" in connect else 0.006),
    )


VPC = NetworkFacts(
    in_vpc=True,
    has_way_out=False,
    function_address="10.0.1.10",
    resolver_address="10.0.0.2",
    channel_address=RELAY,
)


def make_no_vpc(rng: random.Random) -> TopologyRun:
    return describe_topology(
        "no-vpc",
        record_calls(call_worker, strategy=Strategy.WORKER, at=4100.0, rng=rng),
        title="Function outside any VPC",
        purpose="Lambda's own network: what works before anybody attaches a VPC.",
        promise=WORKS,
        network=NetworkFacts(
            in_vpc=False, has_way_out=True, function_address="198.51.100.3", channel_address=RELAY
        ),
        probes=probes(resolves_to=RELAY, connect="HTTP 101 from 198.51.100.10"),
        ready_seconds=0.061,
    )


def make_nat(rng: random.Random) -> TopologyRun:
    return describe_topology(
        "nat",
        record_calls(call_worker, strategy=Strategy.WORKER, at=4102.0, rng=rng),
        title="Private subnet behind a NAT gateway",
        purpose="The textbook VPC: a private subnet whose route table leads to a NAT gateway.",
        promise=WORKS,
        network=NetworkFacts(
            in_vpc=True,
            has_way_out=True,
            function_address="10.0.1.10",
            resolver_address="10.0.0.2",
            nat_address="198.51.100.2",
            channel_address=RELAY,
        ),
        probes=probes(resolves_to=RELAY, connect="HTTP 101 from 198.51.100.10"),
        ready_seconds=0.064,
    )


def make_no_nat(rng: random.Random) -> TopologyRun:
    return describe_topology(
        "no-nat",
        record_calls(
            meet_silence,
            strategy=Strategy.DEPLOYED,
            at=4104.0,
            rng=rng,
            note="connect got no answer in 3.0 s, so the deployed code answered",
        ),
        title="Private subnet without a way out",
        purpose="The same subnet, but nobody paid for a NAT gateway.",
        promise=SILENCE,
        network=NetworkFacts(
            in_vpc=True,
            has_way_out=False,
            dropper=Dropper.ROUTE_TABLE,
            syns_dropped=60,
            function_address="10.0.1.10",
            resolver_address="10.0.0.2",
            channel_address=RELAY,
        ),
        probes=probes(resolves_to=RELAY, connect="SYN gets no answer"),
        ready_seconds=0.058,
    )


def make_endpoint(rng: random.Random) -> TopologyRun:
    return describe_topology(
        "endpoint",
        record_calls(
            meet_endpoint,
            strategy=Strategy.DEPLOYED,
            at=4170.0,
            rng=rng,
            note="the upgrade was answered with HTTP 403, so the deployed code answered",
        ),
        title="Interface endpoint for AppSync with private DNS",
        purpose="A PrivateLink endpoint captures AppSync's names and refuses Event APIs.",
        promise=REFUSAL,
        network=NetworkFacts(
            in_vpc=True,
            has_way_out=False,
            function_address="10.0.1.10",
            resolver_address="10.0.0.2",
            endpoint_address=ENDPOINT,
            private_dns=True,
            channel_address=RELAY,
        ),
        probes=probes(resolves_to=ENDPOINT, connect="HTTP 403 from 10.0.9.10"),
        ready_seconds=0.071,
    )


def make_document(seed: int = 7) -> RunDocument:
    rng = random.Random(seed)
    return RunDocument(
        natless="0.1.0",
        seed=seed,
        started="2026-11-24T09:30:00+00:00",
        seconds=17.4,
        network="netns",
        topologies=(make_no_vpc(rng), make_nat(rng), make_no_nat(rng), make_endpoint(rng)),
        platform=Platform("Linux", "6.1.0-18-amd64", "x86_64", "3.11.7", 2),
        relay=RelayFacts(
            realtime_host=REALTIME,
            http_host=HTTP,
            region="us-east-1",
            address=RELAY,
            connections=4,
            events=164,
            ready_seconds=0.212,
        ),
    )
