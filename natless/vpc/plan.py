"""Everything that building a topology takes, rendered: what travels to whoever builds it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from natless.vpc.model import (
    ADDRESSES,
    CUSTOM_DOMAIN,
    PROXY_PORT,
    Action,
    Addresses,
    Api,
    Endpoint,
    Topology,
    WayOut,
)
from natless.vpc.rules import PacketRule, RuleSet, render_rules
from natless.vpc.zone import Zone, decode_zone, render_zone

LINUX_SYN_RETRIES = 6
"""Linux's own ``net.ipv4.tcp_syn_retries``: about 134 s until the kernel gives up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A topology as instructions.

    Attributes:
        name: the topology's name.
        rules: the router's packet filter.
        zone: what the resolver knows.
        endpoint: how the interface endpoint answers. It answers even when the topology has none;
            no rule lets a packet reach it then.
        default_route: whether the function's own routing table has a default route.
        syn_retries: how often the function's kernel repeats a SYN.
        ipv6: whether the function has an IPv6 address and a default route.
        nat: whose table the running connections are in: an address of the router, empty when
            whatever had one is gone, None when there is no way to it for now.
        nat_idle: seconds until it forgets a connection without packets; None never does.
    """

    name: str = "closed"
    rules: RuleSet = field(default_factory=RuleSet)
    zone: Zone = field(default_factory=Zone)
    endpoint: Endpoint = field(default_factory=Endpoint)
    default_route: bool = True
    syn_retries: int = LINUX_SYN_RETRIES
    ipv6: bool = False
    nat: str | None = None
    nat_idle: float | None = None


def render_plan(topology: Topology, *, api: Api, addresses: Addresses = ADDRESSES) -> Plan:
    """The instructions for a topology."""
    retries = topology.syn_retries
    return Plan(
        name=topology.name,
        rules=render_rules(topology, addresses=addresses),
        zone=render_zone(topology, api=api, addresses=addresses),
        endpoint=topology.endpoint or Endpoint(),
        default_route=topology.default_route,
        syn_retries=LINUX_SYN_RETRIES if retries is None else retries,
        ipv6=topology.ipv6,
        nat=_find_nat(topology, addresses),
        nat_idle=topology.nat_idle,
    )


def _find_nat(topology: Topology, addresses: Addresses) -> str | None:
    if topology.way_out is WayOut.NONE:
        return None  # the gateway is still there, and so is its table, should the route come back
    return topology.way_out.seen_as(addresses) or ""


def is_forgotten(before: str | None, plan: Plan) -> bool:
    """Whether the running connections are in no table any more.

    Args:
        before: whose table they were in.
        plan: what the lab becomes.
    """
    return plan.nat is not None and before is not None and plan.nat != before


def describe_told(topology: Topology, *, addresses: Addresses = ADDRESSES) -> dict[str, str]:
    """The variables that a function has in this network and in no other."""
    told = {}
    if topology.has_proxy:
        told["HTTPS_PROXY"] = f"http://{addresses.proxy.address}:{PROXY_PORT}"
    if topology.custom_domain:  # which serves both ways, as on AWS
        told |= {"NATLESS_REALTIME": CUSTOM_DOMAIN, "NATLESS_HTTP": CUSTOM_DOMAIN}
    return told


def encode_plan(plan: Plan) -> str:
    """The plan as one line of JSON."""
    return json.dumps(asdict(plan), separators=(",", ":"))


def decode_plan(text: str) -> Plan:
    """JSON back to the plan.

    By hand: whoever reads a plan starts anew for every lab, and a library for it would take longer
    to import than the lab takes to build.

    Raises:
        ValueError: it is not JSON, or names an action or a mode that does not exist.
        KeyError: a field is missing.
        TypeError: there is a field too many.
    """
    raw = json.loads(text)
    return Plan(
        name=raw["name"],
        rules=RuleSet(
            forward=tuple(_decode_rule(each) for each in raw["rules"]["forward"]),
            postrouting=tuple(_decode_rule(each) for each in raw["rules"]["postrouting"]),
            input=tuple(_decode_rule(each) for each in raw["rules"]["input"]),
        ),
        zone=decode_zone(raw["zone"]),
        endpoint=Endpoint(**raw["endpoint"]),
        default_route=raw["default_route"],
        syn_retries=raw["syn_retries"],
        ipv6=raw["ipv6"],
        nat=raw["nat"],
        nat_idle=raw["nat_idle"],
    )


def _decode_rule(raw: dict[str, Any]) -> PacketRule:
    return PacketRule(**{**raw, "action": Action(raw["action"])})
