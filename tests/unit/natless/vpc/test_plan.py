import json

import pytest

from natless.vpc.model import Action, Api, Direction, DnsMode, DnsView, Endpoint, Rule, Topology
from natless.vpc.plan import Plan, decode_plan, encode_plan, render_plan
from natless.vpc.topologies import TOPOLOGIES, find

API = Api(label="abcdefghijklmnopqrstuvwxyz", region="us-east-1")

STRANGE = Topology(
    name="strange",
    title="everything that the catalogue does not use",
    purpose="for this test",
    promise=find("nat").promise,
    endpoint=Endpoint(private_dns=False, status=404, message="überall"),
    dns=DnsView(DnsMode.SILENT, ipv6=True),
    stateless=(Rule(Direction.IN, Action.RESET, longer_than=100),),
    stateful=(Rule(Direction.OUT, Action.NET_UNREACHABLE, protocol=None, port=None),),
    default_route=False,
    syn_retries=1,
)


@pytest.mark.parametrize("topology", [*TOPOLOGIES.values(), STRANGE], ids=lambda each: each.name)
def test_a_plan_survives_its_way_to_the_builder(topology):
    plan = render_plan(topology, api=API)
    assert decode_plan(encode_plan(plan)) == plan
    assert plan.name == topology.name


def test_what_a_topology_leaves_open_is_as_linux_has_it():
    plan = render_plan(find("nat"), api=API)
    assert (plan.default_route, plan.syn_retries) == (True, 6)
    assert render_plan(STRANGE, api=API).syn_retries == 1


def test_the_plan_of_nothing_lets_nothing_through():
    plan = Plan()
    assert (plan.rules.forward, plan.rules.postrouting, plan.zone.records) == ((), (), ())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"rules": {"forward": []}}, KeyError),
        ({"zone": {"mode": "loud", "records": []}}, ValueError),
        ({"endpoint": {"colour": "red"}}, TypeError),
    ],
)
def test_something_else_is_not_a_plan(change, error):
    raw = json.loads(encode_plan(Plan())) | change
    with pytest.raises(error):
        decode_plan(json.dumps(raw))
