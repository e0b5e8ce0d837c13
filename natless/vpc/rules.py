"""A topology as packet filter rules of the router. Pure: nothing here touches a kernel.

Three hooks of the router matter. *Forward* decides whether a packet passes from one network to
another; its policy is to drop, in silence, which is what AWS does with a packet that has no route
or that a security group or network ACL forbids. *Postrouting* translates the source address of
what leaves, as a NAT gateway does. *Input* throws away what comes back for a connection that the
NAT gateway has forgotten: Linux would answer with a reset, a NAT gateway does not. Every rule
counts what it matched, so that a probe can prove where a packet ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from natless.vpc.model import (
    ADDRESSES,
    PROXY_PORT,
    TLS_PORT,
    Action,
    Addresses,
    Direction,
    Far,
    Rule,
    Topology,
    WayOut,
)

TABLE = "natless"
"""The name of the one table in the router's namespace."""


@dataclass(frozen=True, slots=True)
class PacketRule:
    """One rule: what a packet must look like, and what happens to it then.

    Attributes:
        name: what its counter is called.
        action: what happens; ignored when ``source_becomes`` is given.
        source: a network in CIDR form, IPv4 or IPv6; None matches any, as with the others.
        destination: a network in CIDR form.
        not_destination: a network in CIDR form that the destination must be outside of.
        protocol: ``tcp`` or ``udp``.
        source_port: a port, which needs a protocol.
        destination_port: likewise.
        longer_than: the packet has more bytes than this, its IP header included.
        is_established: matches only packets of a connection that was let through before.
        is_stray: matches only TCP packets that do not open a connection.
        source_becomes: translate the source address into this one.
    """

    name: str
    action: Action = Action.ACCEPT
    source: str | None = None
    destination: str | None = None
    not_destination: str | None = None
    protocol: str | None = None
    source_port: int | None = None
    destination_port: int | None = None
    longer_than: int | None = None
    is_established: bool = False
    is_stray: bool = False
    source_becomes: str | None = None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of the router, in the order in which packets meet them."""

    forward: tuple[PacketRule, ...] = ()
    postrouting: tuple[PacketRule, ...] = ()
    input: tuple[PacketRule, ...] = ()

    @property
    def chains(self) -> dict[str, tuple[PacketRule, ...]]:
        """The rules by the hook they are in."""
        return {"forward": self.forward, "postrouting": self.postrouting, "input": self.input}


def render_rules(topology: Topology, *, addresses: Addresses = ADDRESSES) -> RuleSet:
    """The router's rules for a topology."""
    return RuleSet(
        forward=tuple(_forward(topology, addresses)),
        postrouting=tuple(_postrouting(topology, addresses)),
        input=(
            PacketRule("nat-stray", Action.DROP, source=addresses.internet.network, protocol="tcp"),
        ),
    )


def _forward(topology: Topology, addresses: Addresses) -> Iterator[PacketRule]:
    yield from _names(topology, addresses)
    for index, rule in enumerate(topology.stateless):
        yield _of_rule(rule, name=f"stateless-{index}", addresses=addresses)
    yield from _lost_ways(topology, addresses)
    yield PacketRule("established", is_established=True)
    for index, rule in enumerate(topology.stateful):
        yield _of_rule(rule, name=f"stateful-{index}", addresses=addresses)
    yield from _inside(topology, addresses)
    yield from _ways_out(topology, addresses)
    yield PacketRule("unwanted", Action.DROP)


def _names(topology: Topology, addresses: Addresses) -> Iterator[PacketRule]:
    """The VPC resolver answers whatever routes, security group or network ACL say."""
    subnet, resolver = addresses.function.network, f"{addresses.resolver.address}/32"
    yield PacketRule("dns-query", source=subnet, destination=resolver)
    yield PacketRule("dns-answer", source=resolver, destination=subnet)
    if topology.has_proxy:  # which resolves the names itself
        proxy = addresses.proxy.network
        yield PacketRule("proxy-dns-query", source=proxy, destination=resolver)
        yield PacketRule("proxy-dns-answer", source=resolver, destination=proxy)


def _lost_ways(topology: Topology, addresses: Addresses) -> Iterator[PacketRule]:
    """A route table keeps no state: without the route, running connections fall silent."""
    subnet, internet = addresses.function.network, addresses.internet.network
    if topology.way_out is WayOut.BLACKHOLE:
        yield PacketRule("blackhole", Action.DROP, source=subnet, destination=internet)
        yield PacketRule("blackhole-return", Action.DROP, source=internet, destination=subnet)
    elif topology.way_out is WayOut.NONE:
        # Of connections only, so that the packets that would open one are counted by themselves.
        lost = PacketRule("route-lost", Action.DROP, is_established=True)
        yield replace(lost, source=subnet, destination=internet)
        yield replace(lost, name="route-lost-return", source=internet, destination=subnet)


def _inside(topology: Topology, addresses: Addresses) -> Iterator[PacketRule]:
    """What the VPC itself offers."""
    subnet = addresses.function.network
    if topology.endpoint is not None:
        yield PacketRule(
            "endpoint",
            source=subnet,
            destination=f"{addresses.endpoint.address}/32",
            protocol="tcp",
            destination_port=TLS_PORT,
        )
    if topology.has_proxy:
        yield PacketRule(
            "proxy",
            source=subnet,
            destination=f"{addresses.proxy.address}/32",
            protocol="tcp",
            destination_port=PROXY_PORT,
        )
        yield PacketRule(
            "proxy-way-out",
            source=f"{addresses.proxy.address}/32",
            destination=addresses.internet.network,
            protocol="tcp",
            destination_port=TLS_PORT,
        )


def _ways_out(topology: Topology, addresses: Addresses) -> Iterator[PacketRule]:
    subnet, internet = addresses.function.network, addresses.internet.network
    way_out = topology.way_out
    if way_out.is_nat_gateway:
        # Of a connection that it does not know, or has forgotten, a NAT gateway answers with a
        # reset (Amazon VPC user guide, "NAT gateways", troubleshooting).
        yield PacketRule(
            "nat-forgotten",
            Action.RESET,
            source=subnet,
            destination=internet,
            protocol="tcp",
            is_stray=True,
        )
    yield PacketRule(
        "no-way-out" if way_out.is_closed else "way-out",
        Action.DROP if way_out.is_closed else Action.ACCEPT,
        source=subnet,
        destination=internet,
    )
    if topology.ipv6:
        yield PacketRule(
            "ipv6-way-out",
            source=addresses.function_ipv6.network,
            destination=addresses.internet_ipv6.network,
        )


def _postrouting(topology: Topology, addresses: Addresses) -> Iterator[PacketRule]:
    if topology.has_proxy:
        yield PacketRule(
            "proxy-nat",
            source=f"{addresses.proxy.address}/32",
            not_destination=addresses.vpc,
            source_becomes=addresses.proxy_public,
        )
    translated = topology.way_out.seen_as(addresses)
    if translated is not None:
        yield PacketRule(
            "nat", source=addresses.vpc, not_destination=addresses.vpc, source_becomes=translated
        )


def _of_rule(rule: Rule, *, name: str, addresses: Addresses) -> PacketRule:
    near = addresses.function.network
    far = {
        Far.INTERNET: addresses.internet.network,
        Far.ENDPOINT: addresses.endpoint.network,
        Far.ANYWHERE: None,
    }[rule.far]
    is_out = rule.direction is Direction.OUT
    return PacketRule(
        name,
        rule.action,
        source=near if is_out else far,
        destination=far if is_out else near,
        protocol=rule.protocol,
        source_port=None if is_out else rule.port,
        destination_port=rule.port if is_out else None,
        longer_than=rule.longer_than,
    )


_STATEMENTS = {
    Action.ACCEPT: "accept",
    Action.DROP: "drop",
    Action.RESET: "reject with tcp reset",
    Action.PORT_UNREACHABLE: "reject with icmpx port-unreachable",
    Action.ADMIN_PROHIBITED: "reject with icmpx admin-prohibited",
    Action.HOST_UNREACHABLE: "reject with icmpx host-unreachable",
    Action.NET_UNREACHABLE: "reject with icmpx no-route",
}


def render_text(rules: RuleSet) -> str:
    """The rules in the language of ``nft -f``, for people and for a router that has ``nft``."""
    lines = [
        f"add table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        "  chain forward {",
        "    type filter hook forward priority filter; policy drop;",
        *(f"    {_text(rule)}" for rule in rules.forward),
        "  }",
        "  chain postrouting {",
        "    type nat hook postrouting priority srcnat; policy accept;",
        *(f"    {_text(rule)}" for rule in rules.postrouting),
        "  }",
        "  chain input {",
        "    type filter hook input priority filter; policy accept;",
        *(f"    {_text(rule)}" for rule in rules.input),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _text(rule: PacketRule) -> str:
    return " ".join((*_matches(rule), "counter", _statement(rule), f'comment "{rule.name}"'))


def _matches(rule: PacketRule) -> Iterator[str]:
    if rule.is_established:
        yield "ct state established,related"
    if rule.source is not None:
        yield f"{_family(rule.source)} saddr {rule.source}"
    if rule.destination is not None:
        yield f"{_family(rule.destination)} daddr {rule.destination}"
    if rule.not_destination is not None:
        yield f"{_family(rule.not_destination)} daddr != {rule.not_destination}"
    if rule.protocol is not None:
        yield f"meta l4proto {rule.protocol}"
    if rule.is_stray:
        yield "tcp flags & (fin | syn | rst | ack) != syn"
    if rule.source_port is not None:
        yield f"th sport {rule.source_port}"
    if rule.destination_port is not None:
        yield f"th dport {rule.destination_port}"
    if rule.longer_than is not None:
        yield f"meta length > {rule.longer_than}"


def _family(network: str) -> str:
    return "ip6" if ":" in network else "ip"


def _statement(rule: PacketRule) -> str:
    if rule.source_becomes is not None:
        return f"snat ip to {rule.source_becomes}"
    return _STATEMENTS[rule.action]
