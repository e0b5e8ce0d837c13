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
    WayOut.BLACKHOLE: (
        "deleted NAT gateway",
        "AWS::EC2::Route whose NAT gateway is gone; its state is blackhole",
    ),
    WayOut.NONE: ("no route", "AWS::EC2::RouteTable with the local route alone"),
}

_ACTIONS = {
    Action.ACCEPT: "passes",
    Action.DROP: "dropped",
    Action.RESET: "reset",
    Action.PORT_UNREACHABLE: "port unreachable",
    Action.ADMIN_PROHIBITED: "prohibited",
    Action.HOST_UNREACHABLE: "host unreachable",
    Action.NET_UNREACHABLE: "net unreachable",
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
    is_closed = topology.way_out.is_closed
    yield f"  '---- 443 ----{'x' if is_closed else '>'} {way}", "dropped in silence" * is_closed
    if topology.way_out is WayOut.INTERNET_GATEWAY:
        yield f"                   '--x relay {addresses.internet.address}", "no way back"
    elif not is_closed:
        end = ">" if works else "?"
        yield f"                   '--{end} relay {addresses.internet.address}", "AppSync Events"


def _name_of(rule: Rule, topology: Topology) -> str:
    if rule in topology.stateful:
        return "security group"
    if rule.longer_than is not None:
        return "firewall"
    return "network ACL" if _is_silent(rule) else "appliance"


def _is_silent(rule: Rule) -> bool:
    """Whether it can be AWS's own: a network ACL never answers."""
    return rule.action in (Action.ACCEPT, Action.DROP)


def _say_rule(rule: Rule) -> str:
    way = "to" if rule.direction is Direction.OUT else "from"
    far = "anywhere" if rule.far is Far.ANYWHERE else f"the {rule.far}"
    port = f" {rule.port}" if rule.port is not None else ""
    what = "ClientHello" if rule.longer_than is not None else f"{rule.protocol or 'all'}{port}"
    return f"{what} {way} {far}: {_ACTIONS[rule.action]}"


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
    names = {_name_of(rule, topology) for rule in topology.stateless}
    if "network ACL" in names:
        yield "stateless   AWS::EC2::NetworkAclEntry"
    if "appliance" in names:
        yield "appliance   AWS::EC2::Instance that the default route leads to, before the NAT"
    if "firewall" in names:
        yield "firewall    AWS::NetworkFirewall::Firewall, rule on the server name"
    yield "relay       AWS::AppSync::Api (an Event API)"
