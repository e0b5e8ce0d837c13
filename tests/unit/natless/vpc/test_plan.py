import json

import pytest

from natless.vpc.model import (
    Action,
    Api,
    Direction,
    DnsMode,
    DnsView,
    Endpoint,
    Rule,
    Topology,
    WayOut,
)
from natless.vpc.plan import (
    Plan,
    decode_plan,
    describe_told,
    encode_plan,
    is_forgotten,
    render_plan,
)
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
    way_out=WayOut.OTHER_NAT_GATEWAY,
    ipv6=True,
    has_proxy=True,
    custom_domain=True,
    nat_idle=1.5,
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


@pytest.mark.parametrize(
    ("before", "after", "forgets"),
    [
        ("nat", "nat", False),
        ("nat", "security-group-egress", False),
        ("nat", "no-nat", False),  # the gateway is still there, and its table
        ("nat", "nat-deleted", True),
        ("nat", "nat-replaced", True),
        ("nat", "vpc-public-subnet", True),
        ("nat-deleted", "nat", True),  # another gateway than the one that went
    ],
)
def test_connections_are_forgotten_with_whatever_translated_them(before, after, forgets):
    was = render_plan(find(before), api=API).nat
    assert is_forgotten(was, render_plan(find(after), api=API)) is forgets


def test_before_the_first_plan_there_is_nothing_to_forget():
    assert not is_forgotten(None, render_plan(find("nat"), api=API))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nat", {}),
        ("egress-proxy", {"HTTPS_PROXY": "http://10.0.8.10:3128"}),
        (
            "endpoint-custom-domain",
            {"NATLESS_REALTIME": "events.example.com", "NATLESS_HTTP": "events.example.com"},
        ),
    ],
)
def test_a_function_is_told_what_it_would_be_told_on_aws(name, told):
    assert describe_told(find(name)) == told


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
