"""What a topology of ours knows about itself, in the words in which causes ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from natless.explain import Dropper, NetworkFacts
from natless.measure.recorder import Recorder
from natless.report.document import ProbeRun, TopologyRun, describe_topology
from natless.vpc.judgement import ProbeResult
from natless.vpc.model import ADDRESSES, Action, Direction, FarSide, Rule, Topology, WayOut

_WAYS_WITHOUT_AN_ANSWER = {
    WayOut.INTERNET_GATEWAY: Dropper.PUBLIC_SUBNET,
    WayOut.BLACKHOLE: Dropper.NAT_GONE,
    WayOut.NONE: Dropper.ROUTE_TABLE,
}


def describe_run(
    topology: Topology,
    recorder: Recorder,
    *,
    syns_dropped: int | None,
    probes: Iterable[ProbeRun] = (),
    opening: Recorder | None = None,
    ready_seconds: float | None = None,
) -> TopologyRun:
    """What was seen on a topology of ours, explained and made ready for a report.

    Args:
        topology: the network.
        recorder: both sides of the calls on it.
        syns_dropped: what :func:`count_dropped_syns` said after them.
        probes: the checks of the network itself.
        opening: the first call of each execution environment, where these are kept apart.
        ready_seconds: how long the network took to be there.
    """
    return describe_topology(
        topology.name,
        recorder,
        title=topology.title,
        purpose=topology.purpose,
        promise=topology.promise,
        network=describe_network(topology, syns_dropped=syns_dropped),
        probes=probes,
        opening=opening,
        ready_seconds=ready_seconds,
    )


def describe_network(topology: Topology, *, syns_dropped: int | None = None) -> NetworkFacts:
    """The network as somebody who built it knows it, for the evidence of a verdict."""
    in_vpc = topology.way_out is not WayOut.LAMBDA_NETWORK
    return NetworkFacts(
        in_vpc=in_vpc,
        has_way_out=topology.way_out.seen_as() is not None,
        dropper=_find_dropper(topology),
        syns_dropped=syns_dropped,
        function_address=ADDRESSES.function.address,
        resolver_address=ADDRESSES.resolver.address,
        nat_address=(topology.way_out.seen_as() or "") if topology.way_out.is_nat_gateway else "",
        endpoint_address=ADDRESSES.endpoint.address if topology.endpoint else "",
        channel_address=ADDRESSES.internet.address,
        private_dns=topology.endpoint.private_dns if topology.endpoint else None,
    )


def count_dropped_syns(topology: Topology, counters: Mapping[str, int]) -> int | None:
    """How many SYNs the router threw away, None where it is no SYN that is thrown away.

    Args:
        topology: what the router was made into.
        counters: packets by the router's rules.
    """
    promise = topology.promise
    if promise.counter in (None, "way-out") or promise.far_side is not FarSide.NOTHING:
        return None
    return counters.get(promise.counter) if _find_dropper(topology) is not None else None


def _find_dropper(topology: Topology) -> Dropper | None:
    """What throws packets away silently; the nearest to the function when there are several."""
    if any(rule.action is Action.DROP for rule in topology.stateful):
        return Dropper.SECURITY_GROUP
    for rule in topology.stateless:
        if rule.longer_than is not None and rule.action is not Action.ACCEPT:
            return Dropper.FIREWALL  # also one that says so: the cause is the same
        if rule.action is Action.DROP:
            return _of_acl(rule)
    if topology.ipv6 and topology.way_out is WayOut.NONE:
        return Dropper.IPV6_ONLY
    return _WAYS_WITHOUT_AN_ANSWER.get(topology.way_out)


def _of_acl(rule: Rule) -> Dropper:
    return Dropper.ACL_OUT if rule.direction is Direction.OUT else Dropper.ACL_RETURN


def describe_probe(probe: ProbeResult) -> ProbeRun:
    """A probe's result, as a report shows it."""
    return ProbeRun(
        name=probe.name,
        promised="",  # its own sentence says what was seen; ``kept`` says that it should be so
        seen=probe.sentence,
        kept=probe.is_ok,
    )
