"""The seeded events of a run, and what a topology of ours says about itself."""

from __future__ import annotations

import json

from natless.explain import Dropper
from natless.scenario.network_facts import describe_network
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
