"""Everything that building a topology takes, rendered: what travels to whoever builds it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from natless.vpc.model import ADDRESSES, Addresses, Api, Endpoint, Topology
from natless.vpc.rules import RuleSet, render_rules
from natless.vpc.zone import Zone, render_zone

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
    """

    name: str = "closed"
    rules: RuleSet = field(default_factory=RuleSet)
    zone: Zone = field(default_factory=Zone)
    endpoint: Endpoint = field(default_factory=Endpoint)
    default_route: bool = True
    syn_retries: int = LINUX_SYN_RETRIES


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
    )


def encode_plan(plan: Plan) -> str:
    """The plan as one line of JSON."""
    return msgspec.json.encode(plan).decode()


def decode_plan(text: str) -> Plan:
    """JSON back to the plan.

    Raises:
        msgspec.ValidationError: it is not a plan.
    """
    return msgspec.json.decode(text, type=Plan)
