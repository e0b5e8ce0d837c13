"""Draws a topology for a terminal: who reaches whom, how it fails, what it is on AWS. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from natless.vpc.model import (
    ADDRESSES,
    CUSTOM_DOMAIN,
    PROXY_PORT,
    Action,
    Addresses,
    Direction,
    DnsMode,
    Far,
    FarSide,
    Rule,
    Topology,
    WayOut,
)

WIDTH = 80
"""No line is longer: what a terminal has that nobody has made wider."""

_WAYS_OUT = {
    WayOut.LAMBDA_NETWORK: ("Lambda's own network", "no VpcConfig on the function"),
    WayOut.NAT_GATEWAY: ("NAT gateway", "AWS::EC2::NatGateway, route 0.0.0.0/0 to it"),
    WayOut.OTHER_NAT_GATEWAY: (
        "new NAT gateway",
        "another AWS::EC2::NatGateway, the route 0.0.0.0/0 moved to it",
    ),
    WayOut.INTERNET_GATEWAY: (
        "internet gateway",
        "AWS::EC2::InternetGateway; a function's interface has no public address",
    ),
    WayOut.BLACKHOLE: (
        "deleted NAT gateway",
        "AWS::EC2::Route whose NAT gateway is gone; its state is blackhole",
    ),
    WayOut.NONE: ("no route", "AWS::EC2::RouteTable without a route for 0.0.0.0/0"),
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

Row = tuple[str, str]
"""What is on the left of the drawing, and what is said of it."""


def draw_topology(topology: Topology, *, addresses: Addresses = ADDRESSES) -> str:
    """The drawing, with a newline at its end; no line is longer than :data:`WIDTH`."""
    head = textwrap.wrap(f"{topology.name}: {topology.title}", WIDTH)
    purpose = textwrap.wrap(topology.purpose, WIDTH)
    drawing = draw_network(topology, addresses=addresses)
    foot = (f"promised: {_promise(topology)}", "", "On AWS:")
    parts = [line for name, what in _parts(topology) for line in _wrap(f"  {name:<11}", what)]
    return "\n".join([*head, "", *purpose, "", drawing, *foot, *parts]) + "\n"


def draw_network(topology: Topology, *, addresses: Addresses = ADDRESSES) -> str:
    """The drawing alone, with a newline at its end."""
    return "\n".join(_lay_out([*_rows(topology, addresses)])) + "\n"


def _lay_out(rows: list[Row]) -> Iterator[str]:
    """Both columns beside each other; what does not fit beside goes on below itself."""
    width = max(len(left) for left, right in rows if right)
    for left, right in rows:
        yield from _wrap(f"  {left:<{width}}  ", right)


def _wrap(first: str, text: str) -> list[str]:
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=_continue(first),
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]


def _continue(first: str) -> str:
    """The lines of a drawing go on where its words take a second line."""
    return "".join(each if each == "|" else " " for each in first)


def _promise(topology: Topology) -> str:
    promise = topology.promise
    if promise.is_working:
        return promise.text
    return f"{promise.text} ({promise.phase}: {promise.outcome})"


def _rows(topology: Topology, addresses: Addresses) -> Iterator[Row]:
    yield f"function {addresses.function.address}", ""
    yield from _names(topology, addresses)
    yield from _inside(topology, addresses)
    for rule in (*topology.stateful, *topology.stateless):
        yield f"|  {_name_of(rule, topology)}", _say_rule(rule)
    if topology.ipv6:
        works = topology.promise.address == addresses.relay_ipv6
        yield "|---- 443 ----> egress-only internet gateway", "IPv6 alone"
        yield "|                 |", f"function is {addresses.function_ipv6.address}"
        end = ">" if works else "-"
        yield f"|                 '-{end} relay {addresses.relay_ipv6}", _taken(works)
    yield from _way_out(topology, addresses)


def _taken(works: bool) -> str:
    return "AppSync Events" if works else "there, and no name means it"


def _names(topology: Topology, addresses: Addresses) -> Iterator[Row]:
    promise, has_dns = topology.promise, topology.dns.mode is DnsMode.ANSWER
    meaning = _DNS[topology.dns.mode]
    generated = promise.elsewhere or promise.address
    if has_dns and generated is not None:
        meaning += f": AppSync is {generated}"
        meaning += "".join(f", {each}" for each in promise.further)
    mark = ">" if has_dns else "x"
    yield f"|---- name? ---{mark} resolver {addresses.resolver.address}", meaning
    if topology.custom_domain:
        yield "|", f"{CUSTOM_DOMAIN} is {promise.address}"


def _inside(topology: Topology, addresses: Addresses) -> Iterator[Row]:
    if topology.endpoint is not None:
        private = "private DNS on" if topology.endpoint.private_dns else "private DNS off"
        answer = f"{private}; answers HTTP {topology.endpoint.status}"
        yield f"|---- 443 -----> endpoint {addresses.endpoint.address}", answer
    if topology.has_proxy:
        yield (
            f"|---- {PROXY_PORT} ----> proxy {addresses.proxy.address}",
            f"CONNECT; seen as {addresses.proxy_public}",
        )
        yield f"|                 '-> relay {addresses.internet.address}", "AppSync Events"


def _way_out(topology: Topology, addresses: Addresses) -> Iterator[Row]:
    way, _ = _WAYS_OUT[topology.way_out]
    if (seen_as := topology.way_out.seen_as(addresses)) is not None:
        way = f"{way} {seen_as}"
    if topology.way_out.is_closed:
        yield f"'---- 443 ----x {way}", "dropped in silence"
        return
    idle = topology.nat_idle
    yield f"'---- 443 ----> {way}", f"forgets what is idle for {idle:g} s" if idle else ""
    yield (
        f"                  '{_last_step(topology)} relay {addresses.internet.address}",
        _end(topology),
    )


def _last_step(topology: Topology) -> str:
    """Whether packets of the call get there."""
    if topology.way_out is WayOut.INTERNET_GATEWAY:
        return "-x"
    return "->" if _is_reached(topology) else "-?"


def _is_reached(topology: Topology) -> bool:
    """Also no when the call goes elsewhere, as the names mean something inside."""
    promise = topology.promise
    goes_out = promise.address == ADDRESSES.internet.address
    return goes_out and promise.far_side is not FarSide.NOTHING


def _end(topology: Topology) -> str:
    if topology.way_out is WayOut.INTERNET_GATEWAY:
        return "no way back"
    if topology.promise.is_working:
        return "AppSync Events"
    if not _is_reached(topology):
        return "not reached"
    is_half = topology.promise.far_side is FarSide.HALF_OPEN
    return "gets the SYN; its answer is lost" if is_half else "gets the SYN, and no ClientHello"


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


def _parts(topology: Topology) -> Iterator[Row]:
    if topology.way_out is WayOut.LAMBDA_NETWORK:
        yield "function", "AWS::Lambda::Function without VpcConfig"
    else:
        dual = ", Ipv6AllowedForDualStack" if topology.ipv6 else ""
        yield "function", f"AWS::Lambda::Function with VpcConfig (subnets, groups{dual})"
        yield "resolver", "Route 53 Resolver, at the VPC's base plus two"
        yield "way out", _WAYS_OUT[topology.way_out][1]
    if topology.nat_idle is not None:
        yield "idle limit", "350 s at a NAT gateway, scaled down here"
    if topology.ipv6:
        yield "IPv6", "AWS::EC2::EgressOnlyInternetGateway, route ::/0 to it"
    if topology.endpoint is not None:
        yield "endpoint", "AWS::EC2::VPCEndpoint, Interface, com.amazonaws.REGION.appsync-api"
    if topology.custom_domain:
        yield "domain", "AWS::AppSync::DomainName, AWS::AppSync::DomainNameApiAssociation"
    if topology.has_proxy:
        yield (
            "proxy",
            "AWS::EC2::Instance (such as Squid) in a public subnet; HTTPS_PROXY among the"
            " function's variables",
        )
    if topology.stateful:
        yield "stateful", "AWS::EC2::SecurityGroup egress"
    names = {_name_of(rule, topology) for rule in topology.stateless}
    if "network ACL" in names:
        yield "stateless", "AWS::EC2::NetworkAclEntry"
    if "appliance" in names:
        yield "appliance", "AWS::EC2::Instance that the default route leads to, before the NAT"
    if "firewall" in names:
        yield "firewall", "AWS::NetworkFirewall::Firewall, rule on the server name"
    yield "relay", "AWS::AppSync::Api (an Event API)"
