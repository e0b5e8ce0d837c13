"""Every way to fail that a topology can be given is the one that AWS or Linux shows."""

import errno

import pytest
import pytest_asyncio

from event_protocol.phases import Outcome, Phase
from natless.vpc.model import (
    Action,
    Direction,
    DnsMode,
    DnsView,
    FarSide,
    Promise,
    Rule,
    Topology,
    WayOut,
)
from tests.network.vpc_bench import open_bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

RELAY = "198.51.100.10"
NAT = "198.51.100.2"
NAT_WAY = {"way_out": WayOut.NAT_GATEWAY}


def hangs(phase=Phase.CONNECT, **facts):
    return Promise("hangs", phase, Outcome.TIMEOUT, **({"far_side": FarSide.NOTHING} | facts))


def is_refused(outcome, *numbers, **facts):
    return Promise(
        "is refused",
        Phase.CONNECT,
        outcome,
        errnos=frozenset(numbers),
        **({"far_side": FarSide.NOTHING} | facts),
    )


def has_no_name(outcome):
    return Promise("no name", Phase.RESOLVE, outcome, address=None, far_side=FarSide.NOTHING)


def out(action, **facts):
    return {"stateless": (Rule(Direction.OUT, action, **facts),)}


CASES = {
    "a public subnet: the answer has no way back": (
        {"way_out": WayOut.INTERNET_GATEWAY},
        hangs(counter="way-out"),  # the relay's kernel has nowhere to answer to
    ),
    "a security group without egress": (
        NAT_WAY | {"stateful": (Rule(Direction.OUT, Action.DROP),)},
        hangs(counter="stateful-0"),
    ),
    "a network ACL that drops what returns": (
        NAT_WAY | {"stateless": (Rule(Direction.IN, Action.DROP),)},
        hangs(far_side=FarSide.HALF_OPEN, peer=NAT, counter="stateless-0"),
    ),
    "no default route of its own": (
        NAT_WAY | {"default_route": False},
        is_refused(Outcome.UNREACHABLE, errno.ENETUNREACH),
    ),
    "a reset": (
        out(Action.RESET, port=None),
        is_refused(Outcome.REFUSED, errno.ECONNREFUSED, counter="stateless-0"),
    ),
    "port unreachable": (
        out(Action.PORT_UNREACHABLE),
        is_refused(Outcome.REFUSED, errno.ECONNREFUSED, counter="stateless-0"),
    ),
    "prohibited": (
        out(Action.ADMIN_PROHIBITED),
        is_refused(Outcome.UNREACHABLE, errno.EHOSTUNREACH, counter="stateless-0"),
    ),
    "host unreachable": (
        out(Action.HOST_UNREACHABLE),
        is_refused(Outcome.UNREACHABLE, errno.EHOSTUNREACH, counter="stateless-0"),
    ),
    "net unreachable": (
        out(Action.NET_UNREACHABLE),
        is_refused(Outcome.UNREACHABLE, errno.ENETUNREACH, counter="stateless-0"),
    ),
    "a resolver that is silent": (
        NAT_WAY | {"dns": DnsView(DnsMode.SILENT)},
        has_no_name(Outcome.NAME_TIMEOUT),
    ),
    "a resolver that knows nothing": (
        NAT_WAY | {"dns": DnsView(DnsMode.NXDOMAIN)},
        has_no_name(Outcome.NAME_NOT_FOUND),
    ),
    "a resolver that fails": (
        NAT_WAY | {"dns": DnsView(DnsMode.SERVFAIL)},
        has_no_name(Outcome.NAME_TIMEOUT),
    ),
    "a resolver that refuses": (
        NAT_WAY | {"dns": DnsView(DnsMode.REFUSED)},
        has_no_name(Outcome.NAME_TIMEOUT),
    ),
    "a name with an IPv6 address only": (
        NAT_WAY | {"dns": DnsView(ipv4=False, ipv6=True)},
        is_refused(Outcome.UNREACHABLE, errno.ENETUNREACH, address="2001:db8:100::10"),
    ),
    "a firewall that drops the ClientHello": (
        NAT_WAY | out(Action.DROP, longer_than=100),
        hangs(Phase.TLS, far_side=FarSide.CONNECTED, peer=NAT, counter="stateless-0"),
    ),
    "a firewall that resets at the ClientHello": (
        NAT_WAY | out(Action.RESET, longer_than=100),
        Promise(
            "is cut", Phase.TLS, Outcome.RESET, far_side=FarSide.CONNECTED, counter="stateless-0"
        ),
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory):
    async with open_bench(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.mark.parametrize("case", CASES)
async def test_a_topology_fails_as_it_promises(lab, case):
    facts, promise = CASES[case]
    topology = Topology(name="case", title=case, purpose=case, promise=promise, **facts)
    await lab.cleared().vpc.verify(topology)


async def test_a_name_with_both_addresses_is_reached_by_ipv4(lab):
    promise = Promise("works", address=None, peer=NAT)
    topology = Topology(
        name="case",
        title="both",
        purpose="both",
        promise=promise,
        dns=DnsView(ipv6=True),
        **NAT_WAY,
    )
    results = {each.name: each for each in await lab.cleared().vpc.probe(topology)}
    assert results["reach"].is_ok
    assert results["far side"].is_ok
    assert results["reach"].spans[0].detail["addresses"][0] == RELAY
