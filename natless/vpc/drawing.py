"""Draws a topology for a terminal: who reaches whom, how it fails, what it is on AWS. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from natless.vpc.model import (
    ADDRESSES,
    Action,
    Addresses,
    Direction,
    DnsMode,
    Far,
    Rule,
    Topology,
    WayOut,
)

_WIDTH = 88

_WAYS_OUT = {
    WayOut.LAMBDA_NETWORK: ("Lambda's own network", "no VpcConfig on the function"),
    WayOut.NAT_GATEWAY: ("NAT gateway", "AWS::EC2::NatGateway, route 0.0.0.0/0 to it"),
    WayOut.INTERNET_GATEWAY: (
        "internet gateway",
        "AWS::EC2::InternetGateway; a function's interface has no public address",
    ),
    WayOut.NONE: ("no route", "AWS::EC2::RouteTable with the local route alone"),
}

_ACTIONS = {
    Action.ACCEPT: "lets through",
    Action.DROP: "drops in silence",
    Action.RESET: "answers with a reset",
    Action.PORT_UNREACHABLE: "says port unreachable",
    Action.ADMIN_PROHIBITED: "says prohibited",
    Action.HOST_UNREACHABLE: "says host unreachable",
    Action.NET_UNREACHABLE: "says net unreachable",
}

_DNS = {
    DnsMode.ANSWER: "answers",
    DnsMode.SILENT: "says nothing",
    DnsMode.NXDOMAIN: "says that no such name exists",
    DnsMode.SERVFAIL: "says SERVFAIL",
    DnsMode.REFUSED: "says REFUSED",
}


def draw_topology(topology: Topology, *, addresses: Addresses = ADDRESSES) -> str:
    """The drawing, with a newline at its end; no line is longer than 88 characters."""
    head = [f"{topology.name}: {topology.title}", "", *textwrap.wrap(topology.purpose, _WIDTH), ""]
    rows = [*_rows(topology, addresses)]
    width = max(len(left) for left, _ in rows)
    drawing = [f"  {left:<{width}}  {right}".rstrip() for left, right in rows]
    foot = ["", f"promised: {topology.promise.text}"]
    parts = ["", "On AWS:", *(f"  {line}" for line in _parts(topology))]
    return "\n".join([*head, *drawing, *foot, *parts]) + "\n"


def _rows(topology: Topology, addresses: Addresses) -> Iterator[tuple[str, str]]:
    promise = topology.promise
    works = promise.is_working
    yield f"function {addresses.function.address}", ""
    has_dns = topology.dns.mode is DnsMode.ANSWER
    mark = ">" if has_dns else "x"
    meaning = _DNS[topology.dns.mode]
    if has_dns and promise.address is not None:
        meaning += f": AppSync is {promise.address}"
    yield f"  |---- name? ---{mark} resolver {addresses.resolver.address}", meaning
    if topology.endpoint is not None:
        private = "private DNS on" if topology.endpoint.private_dns else "private DNS off"
        answer = f"{private}; answers HTTP {topology.endpoint.status}"
        yield f"  |---- 443 -----> endpoint {addresses.endpoint.address}", answer
    for rule in (*topology.stateful, *topology.stateless):
        yield f"  |  {_name_of(rule, topology)}", _say_rule(rule)
    way, _ = _WAYS_OUT[topology.way_out]
    seen_as = {
        WayOut.LAMBDA_NETWORK: addresses.lambda_network,
        WayOut.NAT_GATEWAY: addresses.nat_gateway,
    }.get(topology.way_out)
    if seen_as is not None:
        way = f"{way} {seen_as}"
    is_closed = topology.way_out is WayOut.NONE
    yield f"  '---- 443 ----{'x' if is_closed else '>'} {way}", "dropped in silence" * is_closed
    if topology.way_out is WayOut.INTERNET_GATEWAY:
        yield f"                   '--x relay {addresses.internet.address}", "no way back"
    elif not is_closed:
        end = ">" if works else "?"
        yield f"                   '--{end} relay {addresses.internet.address}", "AppSync Events"


def _name_of(rule: Rule, topology: Topology) -> str:
    if rule in topology.stateful:
        return "security group"
    return "firewall" if rule.longer_than is not None else "network ACL"


def _say_rule(rule: Rule) -> str:
    way = "to" if rule.direction is Direction.OUT else "from"
    far = "anywhere" if rule.far is Far.ANYWHERE else f"the {rule.far}"
    what = "a ClientHello" if rule.longer_than is not None else rule.protocol or "everything"
    port = f" {rule.port}" if rule.port is not None else ""
    return f"{_ACTIONS[rule.action]} {what}{port} {way} {far}"


def _parts(topology: Topology) -> Iterator[str]:
    if topology.way_out is WayOut.LAMBDA_NETWORK:
        yield "function    AWS::Lambda::Function without VpcConfig"
    else:
        yield "function    AWS::Lambda::Function with VpcConfig (subnets, security groups)"
        yield "resolver    Route 53 Resolver, at the VPC's base plus two"
        yield f"way out     {_WAYS_OUT[topology.way_out][1]}"
    if topology.endpoint is not None:
        yield "endpoint    AWS::EC2::VPCEndpoint, Interface, com.amazonaws.REGION.appsync-api"
    if topology.stateful:
        yield "stateful    AWS::EC2::SecurityGroup egress"
    if any(rule.longer_than is None for rule in topology.stateless):
        yield "stateless   AWS::EC2::NetworkAclEntry"
    if any(rule.longer_than is not None for rule in topology.stateless):
        yield "firewall    AWS::NetworkFirewall::Firewall, rule on the server name"
    yield "relay       AWS::AppSync::Api (an Event API)"
