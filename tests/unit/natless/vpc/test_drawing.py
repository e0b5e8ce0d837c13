from dataclasses import replace

import pytest

from natless.vpc.drawing import draw_topology
from natless.vpc.model import Action, Direction, DnsMode, DnsView, Rule, WayOut
from natless.vpc.topologies import TOPOLOGIES, find


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_drawing_fits_a_terminal_and_names_the_promise_and_the_parts_on_aws(name):
    drawing = draw_topology(find(name))
    assert all(len(line) <= 80 for line in drawing.splitlines())
    assert f"promised: {find(name).promise.text}" in drawing
    assert len(drawing.splitlines()) <= 30
    assert "AWS::Lambda::Function" in drawing
    assert drawing.endswith("\n")


def test_a_nat_gateway_is_shown_with_the_address_that_the_relay_sees():
    drawing = draw_topology(find("nat"))
    assert "NAT gateway 198.51.100.2" in drawing
    assert "relay 198.51.100.10" in drawing


def test_without_a_way_out_the_line_ends_before_the_relay():
    drawing = draw_topology(find("no-nat"))
    assert "----x no route" in drawing
    assert "relay 198" not in drawing


def test_an_endpoint_shows_what_its_private_dns_does():
    drawing = draw_topology(find("endpoint"))
    assert "AppSync is 10.0.9.10" in drawing
    assert "private DNS on; answers HTTP 403" in drawing


def test_a_public_subnet_has_no_way_back():
    drawing = draw_topology(replace(find("nat"), way_out=WayOut.INTERNET_GATEWAY))
    assert "no way back" in drawing


@pytest.mark.parametrize(
    ("rule", "is_stateful", "said"),
    [
        (Rule(Direction.OUT, Action.DROP), True, "tcp 443 to the internet: dropped"),
        (Rule(Direction.IN, Action.DROP), False, "tcp 443 from the internet: dropped"),
        (
            Rule(Direction.OUT, Action.RESET, longer_than=100),
            False,
            "ClientHello to the internet: reset",
        ),
    ],
)
def test_rules_are_said_in_words(rule, is_stateful, said):
    where = {"stateful": (rule,)} if is_stateful else {"stateless": (rule,)}
    drawing = draw_topology(replace(find("nat"), **where))
    assert said in " ".join(drawing.replace("|", " ").split())
    part = (
        "security group" if is_stateful else "network ACL" if not rule.longer_than else "firewall"
    )
    assert part in drawing


def test_what_answers_instead_of_dropping_is_no_part_of_awss():
    drawing = draw_topology(find("reject"))
    assert "|  appliance" in drawing
    assert "all to the internet: prohibited" in drawing
    assert "network ACL" not in drawing
    assert "AWS::EC2::Instance" in drawing


def test_a_blackhole_is_closed_and_names_the_gateway_that_is_gone():
    drawing = draw_topology(find("nat-deleted"))
    assert "----x deleted NAT gateway" in drawing
    assert "blackhole" in drawing
    assert "relay 198" not in drawing


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("egress-proxy", ("3128 ----> proxy 10.0.8.10", "seen as 198.51.100.4", "HTTPS_PROXY")),
        ("endpoint-custom-domain", ("events.example.com is 198.51.100.10", "DomainName")),
        ("ipv6-dual-stack", ("relay 2001:db8:100::10", "function is 2001:db8:1::10")),
        ("ipv6-way-out", ("there, and no name means it", "EgressOnlyInternetGateway")),
        ("nat-idle", ("forgets what is idle for 2 s", "350 s")),
        ("nat-replaced", ("new NAT gateway 198.51.100.5",)),
        ("network-acl-return", ("gets the SYN; its answer is lost",)),
        ("firewall-sni-drop", ("gets the SYN, and no ClientHello",)),
        ("endpoint-and-nat", ("-? relay 198.51.100.10", "not reached")),
    ],
)
def test_what_is_special_about_a_network_is_in_its_drawing(name, words):
    drawing = draw_topology(find(name))
    assert all(each in drawing for each in words)


def test_a_resolver_that_says_nothing_is_crossed_out():
    drawing = draw_topology(replace(find("nat"), dns=DnsView(DnsMode.SILENT)))
    assert "name? ---x resolver 10.0.0.2" in drawing
    assert "says nothing" in drawing
