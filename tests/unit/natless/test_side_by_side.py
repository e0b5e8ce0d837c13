"""The seeded events of a run, and what a topology of ours says about itself."""

from __future__ import annotations

import json

import pytest

from natless.explain import Dropper
from natless.scenario.network_facts import count_dropped_syns, describe_network
from natless.scenario.side_by_side import make_events
from natless.vpc.topologies import TOPOLOGIES


def test_the_same_seed_makes_the_same_events_and_another_makes_others():
    first = list(make_events(5, seed=7))
    assert first == list(make_events(5, seed=7))
    assert first != list(make_events(5, seed=8))
    assert [json.loads(event)["number"] for event in first] == [0, 1, 2, 3, 4]


def test_a_topology_knows_what_throws_its_packets_away():
    assert describe_network(TOPOLOGIES["no-nat"]).dropper is Dropper.ROUTE_TABLE
    assert describe_network(TOPOLOGIES["nat"]).dropper is None
    assert describe_network(TOPOLOGIES["nat"]).has_way_out
    assert describe_network(TOPOLOGIES["no-vpc"]).in_vpc is False
    assert describe_network(TOPOLOGIES["endpoint"]).private_dns is True


DROPPERS = {
    "no-vpc": None,
    "nat": None,
    "no-nat": Dropper.ROUTE_TABLE,
    "endpoint": Dropper.ROUTE_TABLE,
    "endpoint-and-nat": None,
    "endpoint-no-private-dns": Dropper.ROUTE_TABLE,
    "endpoint-custom-domain": None,
    "egress-proxy": Dropper.ROUTE_TABLE,
    "vpc-public-subnet": Dropper.PUBLIC_SUBNET,
    "nat-deleted": Dropper.NAT_GONE,
    "nat-replaced": None,
    "nat-idle": None,
    "security-group-egress": Dropper.SECURITY_GROUP,
    "network-acl-return": Dropper.ACL_RETURN,
    "dns-silent": None,
    "dns-nxdomain": None,
    "dns-servfail": None,
    "ipv6-only": None,
    "ipv6-way-out": Dropper.IPV6_ONLY,
    "ipv6-dual-stack": Dropper.IPV6_ONLY,
    "firewall-sni-drop": Dropper.FIREWALL,
    "firewall-sni-reset": Dropper.FIREWALL,
    "reject": None,
    "reset": None,
}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_topology_knows_what_stops_its_packets(name):
    assert describe_network(TOPOLOGIES[name]).dropper is DROPPERS[name]


@pytest.mark.parametrize(
    ("name", "counters", "count"),
    [
        ("no-nat", {"no-way-out": 7}, 7),
        ("nat-deleted", {"blackhole": 7}, 7),
        ("ipv6-way-out", {"no-way-out": 7}, 7),
        ("egress-proxy", {"no-way-out": 7}, None),  # it works, through somebody else
        ("security-group-egress", {"stateful-0": 7}, 7),
        ("network-acl-return", {"stateless-0": 7}, None),  # it drops the answers
        ("firewall-sni-drop", {"stateless-0": 7}, None),  # it drops ClientHellos
        ("vpc-public-subnet", {"way-out": 7}, None),  # the router let them go
        ("reject", {"stateless-0": 7}, None),
        ("nat", {"way-out": 7}, None),
    ],
)
def test_only_syns_that_were_dropped_are_counted_as_such(name, counters, count):
    assert count_dropped_syns(TOPOLOGIES[name], counters) == count
