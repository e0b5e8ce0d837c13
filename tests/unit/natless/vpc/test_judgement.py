import errno
from dataclasses import replace

import pytest

from event_protocol.phases import Outcome, Phase, Span
from natless.vpc.judgement import Observation, describe_span, judge, judge_isolation
from natless.vpc.model import FarSide, Promise
from natless.vpc.tcp_table import TcpSocket, TcpState
from natless.vpc.topologies import TOPOLOGIES, find

RELAY, ENDPOINT = "198.51.100.10", "10.0.9.10"


def make_span(phase, outcome=Outcome.OK, *, seconds=0.01, **detail):
    return Span(phase, 10.0, 10.0 + seconds, outcome, f"probe.{phase}", 1.0, detail)


def make_socket(*, remote="198.51.100.2", local=RELAY, state=TcpState.ESTABLISHED):
    return TcpSocket(local, 443, remote, 40000, state)


def resolved(address=RELAY):
    return make_span(Phase.RESOLVE, host="realtime", addresses=[address])


def answered(*, address=RELAY, status=404):
    return (
        resolved(address),
        make_span(Phase.CONNECT, address=address),
        make_span(Phase.TLS),
        make_span(Phase.UPGRADE, address=address, status=status),
    )


SEEN = {
    "no-vpc": Observation(
        answered(), {"http": (RELAY,)}, (make_socket(remote="198.51.100.3"),), {"way-out": 1}
    ),
    "nat": Observation(answered(), {"http": (RELAY,)}, (make_socket(),), {"way-out": 1}),
    "no-nat": Observation(
        (resolved(), make_span(Phase.CONNECT, Outcome.TIMEOUT, seconds=1.0, address=RELAY)),
        {"http": (RELAY,)},
        (),
        {"no-way-out": 2},
    ),
    "endpoint": Observation(
        answered(address=ENDPOINT, status=403),
        {"http": (ENDPOINT,)},
        (make_socket(remote="10.0.1.10", local=ENDPOINT),),
        {"endpoint": 1},
    ),
}


# What the wire cannot tell apart: an endpoint that no name means, a NAT gateway that none leads to.
ALIKE = {
    ("endpoint-no-private-dns", "no-nat"),
    ("endpoint-and-nat", "endpoint"),
    ("nat-idle", "nat"),
}


def broken(promise, seen):
    return {result.name: result.sentence for result in judge(promise, seen) if not result.is_ok}


@pytest.mark.parametrize("name", SEEN)
def test_each_topology_accepts_what_it_looks_like(name):
    assert broken(find(name).promise, SEEN[name]) == {}


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_no_topology_is_taken_for_another(name, seen):
    is_same = seen == name or (name, seen) in ALIKE
    assert bool(broken(find(name).promise, SEEN[seen])) is not is_same


def test_a_dead_relay_is_not_taken_for_a_working_network():
    dead = (resolved(), make_span(Phase.CONNECT, Outcome.REFUSED, error="ECONNREFUSED"))
    said = broken(find("nat").promise, replace(SEEN["nat"], spans=dead))
    assert said == {
        "reach": "promised is 'works', seen was connect: refused (ECONNREFUSED) after 10.0 ms:"
        " there was no answer over HTTP"
    }


def test_a_hang_that_ends_early_is_no_hang():
    early = make_span(Phase.CONNECT, Outcome.TIMEOUT, seconds=0.9)
    said = broken(find("no-nat").promise, replace(SEEN["no-nat"], spans=(resolved(), early)))
    assert "whole budget of 1 s" in said["reach"]


def test_a_refusal_with_another_status_is_another_refusal():
    seen = replace(SEEN["endpoint"], spans=answered(address=ENDPOINT, status=200))
    assert "status should be 403" in broken(find("endpoint").promise, seen)["reach"]


def test_what_the_kernel_said_is_in_the_sentence():
    bad = make_span(Phase.TLS, Outcome.TLS_ERROR, message="certificate verify failed")
    said = broken(find("nat").promise, replace(SEEN["nat"], spans=(resolved(), bad)))
    assert "certificate verify failed" in said["reach"]


@pytest.mark.parametrize(("number", "is_ok"), [(errno.ENETUNREACH, True), (errno.EACCES, False)])
def test_an_errno_is_checked_where_one_is_promised(number, is_ok):
    promise = Promise(
        "no route",
        Phase.CONNECT,
        Outcome.UNREACHABLE,
        errnos=frozenset({errno.ENETUNREACH}),
        far_side=FarSide.NOTHING,
    )
    span = make_span(Phase.CONNECT, Outcome.UNREACHABLE, errno=number)
    seen = Observation((resolved(), span), {}, (), {})
    assert ("reach" not in broken(promise, seen)) is is_ok


def test_every_name_must_mean_what_was_promised():
    said = broken(find("endpoint").promise, replace(SEEN["endpoint"], names={"http": (RELAY,)}))
    assert said == {"names": f"http is {RELAY} and should mean {ENDPOINT}"}


def test_a_name_that_does_not_resolve_can_be_promised():
    promise = Promise(
        "no such name",
        Phase.RESOLVE,
        Outcome.NAME_NOT_FOUND,
        address=None,
        far_side=FarSide.NOTHING,
    )
    span = make_span(Phase.RESOLVE, Outcome.NAME_NOT_FOUND, host="realtime")
    assert broken(promise, Observation((span,), {"http": ()}, (), {})) == {}
    assert "names" in broken(promise, Observation((span,), {"http": (RELAY,)}, (), {}))


def test_a_peer_that_was_not_translated_is_told():
    seen = replace(SEEN["nat"], far_sockets=(make_socket(remote="10.0.1.10"),))
    assert broken(find("nat").promise, seen) == {
        "far side": "the far side sees 10.0.1.10, but should see a connection from 198.51.100.2"
    }


def test_a_syn_that_reached_the_far_side_was_not_dropped():
    seen = replace(SEEN["no-nat"], far_sockets=(make_socket(state=TcpState.SYN_RECV),))
    said = broken(find("no-nat").promise, seen)
    assert said == {"far side": "the far side sees 198.51.100.2 (half-open), but should see nobody"}


def test_a_lost_answer_leaves_the_far_side_half_open():
    promise = replace(find("no-nat").promise, far_side=FarSide.HALF_OPEN, counter=None)
    half = replace(SEEN["no-nat"], far_sockets=(make_socket(state=TcpState.NEW_SYN_RECV),))
    assert broken(promise, half) == {}
    assert "far side" in broken(promise, SEEN["no-nat"])
    assert "far side" in broken(promise, replace(half, far_sockets=(make_socket(),)))


def test_a_router_that_counted_nothing_did_not_drop_it():
    said = broken(find("no-nat").promise, replace(SEEN["no-nat"], counters={"no-way-out": 0}))
    assert said == {
        "router": "the router's rule 'no-way-out' has met 0 packets, but should have met some"
    }


def test_the_phases_come_along():
    reach = judge(find("nat").promise, SEEN["nat"])[0]
    assert reach.spans == SEEN["nat"].spans
    assert reach.sentence == "upgrade: HTTP 404 from 198.51.100.10 after 10.0 ms"


def test_a_phase_is_described_with_its_errno():
    span = make_span(Phase.CONNECT, Outcome.UNREACHABLE, error="EHOSTUNREACH", seconds=0.0002)
    assert describe_span(span) == "connect: unreachable (EHOSTUNREACH) after 0.2 ms"


IDLE = {"kept": Outcome.OK, "forgotten": Outcome.RESET}


@pytest.mark.parametrize(
    ("idle", "resets", "is_ok"),
    [
        (IDLE, 1, True),
        (IDLE, 0, False),
        (IDLE | {"forgotten": Outcome.OK}, 1, False),
        (IDLE | {"forgotten": Outcome.TIMEOUT}, 1, False),
        (IDLE | {"kept": Outcome.RESET}, 1, False),
    ],
)
def test_an_idle_connection_must_be_reset_by_the_router_and_not_too_soon(idle, resets, is_ok):
    counters = {"way-out": 1, "nat-forgotten": resets}
    seen = replace(SEEN["nat"], idle=idle, counters=counters)
    assert ("idle" not in broken(find("nat-idle").promise, seen)) is is_ok


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.TIMEOUT, Outcome.REFUSED])
def test_the_way_beside_a_proxy_must_be_closed_in_silence(outcome):
    proxied = (make_span(Phase.RESOLVE, host="10.0.8.10", addresses=["10.0.8.10"]), *answered()[1:])
    seen = Observation(
        proxied,
        {"http": (RELAY,)},
        (make_socket(remote="198.51.100.4"),),
        {"proxy-way-out": 1},
        {RELAY: outcome},
    )
    said = broken(find("egress-proxy").promise, seen)
    assert said == ({} if outcome is Outcome.TIMEOUT else {"beside": said.get("beside")})


def test_generated_names_may_mean_something_else_than_the_one_that_is_called():
    promise = find("endpoint-custom-domain").promise
    seen = replace(SEEN["nat"], names={"http": (ENDPOINT,)}, beside={ENDPOINT: Outcome.OK})
    assert broken(promise, seen) == {}
    assert "names" in broken(promise, replace(seen, names={"http": (RELAY,)}))


def test_names_with_addresses_of_both_families_are_compared_in_their_order():
    promise = find("ipv6-dual-stack").promise
    both = ("2001:db8:100::10", RELAY)
    span = make_span(Phase.RESOLVE, host="realtime", addresses=list(both))
    seen = Observation((span, *answered()[1:]), {"http": both}, (), {})
    assert "names" not in broken(promise, seen)
    assert "names" in broken(promise, replace(seen, names={"http": both[::-1]}))


HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
OWN = "function\t0001000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
WAY_OUT = "eth7\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"


def test_a_router_that_knows_the_lab_only_has_no_way_out():
    assert judge_isolation(HEAD + OWN).is_ok


def test_a_router_with_a_default_route_has_a_way_out():
    result = judge_isolation(HEAD + OWN + WAY_OUT)
    assert not result.is_ok
    assert "0.0.0.0/0 dev eth7" in result.sentence
