"""The catalogue: every topology that can be asked for by name. Adding one is adding one entry."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from event_protocol.phases import Outcome, Phase
from natless.errors import UsageError
from natless.vpc.model import (
    ADDRESSES,
    Action,
    Beside,
    Direction,
    DnsMode,
    DnsView,
    Endpoint,
    Far,
    FarSide,
    Promise,
    Rule,
    Topology,
    WayOut,
)

# Bytes with the IP header: a SYN of Linux has 60, the ClientHello of any TLS library more than 200.
_CLIENT_HELLO = 100


def _no_answer(counter: str) -> Promise:
    """A SYN meets silence, and this rule of the router counted it."""
    return Promise(
        "SYN gets no answer",
        Phase.CONNECT,
        Outcome.TIMEOUT,
        far_side=FarSide.NOTHING,
        counter=counter,
    )


def _no_name(text: str, outcome: Outcome) -> Promise:
    """The call ends before its first packet to the internet."""
    return Promise(text, Phase.RESOLVE, outcome, address=None, far_side=FarSide.NOTHING)


_ENDPOINT_REFUSES = Promise(
    "endpoint refuses",
    Phase.UPGRADE,
    Outcome.HTTP_ERROR,
    http_status=403,
    address=ADDRESSES.endpoint.address,
    peer=ADDRESSES.function.address,
    counter="endpoint",
)

_CATALOGUE = (
    Topology(
        name="no-vpc",
        title="not in a VPC",
        purpose="The function runs in Lambda's own network, which reaches the internet.",
        way_out=WayOut.LAMBDA_NETWORK,
        promise=Promise("works", peer=ADDRESSES.lambda_network, counter="way-out"),
    ),
    Topology(
        name="nat",
        title="private subnet with a NAT gateway",
        purpose="The subnet's default route leads to a NAT gateway in a public subnet.",
        way_out=WayOut.NAT_GATEWAY,
        promise=Promise("works", peer=ADDRESSES.nat_gateway, counter="way-out"),
    ),
    Topology(
        name="no-nat",
        title="private subnet without a NAT gateway",
        purpose=(
            "The subnet's route table has the VPC's local route and nothing else. Names still"
            " resolve, because the VPC resolver answers whatever the routes are, and then the"
            " first packet gets no answer."
        ),
        way_out=WayOut.NONE,
        promise=_no_answer("no-way-out"),
    ),
    Topology(
        name="endpoint",
        title="private subnet with an AppSync interface endpoint",
        purpose=(
            "An interface endpoint with private DNS takes over the names of all AppSync APIs of"
            " the region, connects, and refuses: endpoints serve private GraphQL APIs, never an"
            " Event API."
        ),
        way_out=WayOut.NONE,
        endpoint=Endpoint(),
        promise=_ENDPOINT_REFUSES,
    ),
    Topology(
        name="endpoint-and-nat",
        title="private subnet with an interface endpoint and a NAT gateway",
        purpose=(
            "The way out is there and is not taken: private DNS still gives the API's names the"
            " endpoint's address. A NAT gateway helps only with private DNS off, or for a custom"
            " domain."
        ),
        way_out=WayOut.NAT_GATEWAY,
        endpoint=Endpoint(),
        promise=_ENDPOINT_REFUSES,
    ),
    Topology(
        name="endpoint-no-private-dns",
        title="private subnet with an interface endpoint, private DNS off",
        purpose=(
            "Without private DNS the API's names keep their public addresses, which the endpoint"
            " is no way to: without a NAT gateway the first packet gets no answer."
        ),
        way_out=WayOut.NONE,
        endpoint=Endpoint(private_dns=False),
        promise=_no_answer("no-way-out"),
    ),
    Topology(
        name="endpoint-custom-domain",
        title="interface endpoint, NAT gateway, and a custom domain for the Event API",
        purpose=(
            "AWS's own way around the endpoint: private DNS takes over the generated names alone,"
            " so a function that is told the API's custom domain passes by it, through the NAT"
            " gateway. Who still calls the generated names is refused."
        ),
        way_out=WayOut.NAT_GATEWAY,
        endpoint=Endpoint(),
        custom_domain=True,
        promise=Promise(
            "works by the custom domain",
            elsewhere=ADDRESSES.endpoint.address,
            peer=ADDRESSES.nat_gateway,
            counter="way-out",
            beside=(Beside(ADDRESSES.endpoint.address),),
        ),
    ),
    Topology(
        name="egress-proxy",
        title="private subnet whose only way out is an egress proxy",
        purpose=(
            "No NAT gateway, but a proxy in the VPC that has a way out of its own, and HTTPS_PROXY"
            " in the function's environment. The proxy resolves the names; TLS stays end to end."
            " What does not ask the proxy gets no answer."
        ),
        way_out=WayOut.NONE,
        has_proxy=True,
        promise=Promise(
            "works through the proxy",
            peer=ADDRESSES.proxy_public,
            counter="proxy-way-out",
            beside=(Beside(ADDRESSES.internet.address, Outcome.TIMEOUT),),
        ),
    ),
    Topology(
        name="vpc-public-subnet",
        title="public subnet",
        purpose=(
            "The subnet's default route leads to an internet gateway, but a function's network"
            " interface never has a public address: the internet gateway drops its packets, and a"
            " public subnet hangs like one without a NAT gateway."
        ),
        way_out=WayOut.INTERNET_GATEWAY,
        promise=_no_answer("way-out"),  # and the answer has no way back
    ),
    Topology(
        name="nat-deleted",
        title="private subnet whose NAT gateway was deleted",
        purpose=(
            "The default route still names a NAT gateway that is gone: the route's state is"
            " blackhole, and it drops packets as silently as no route at all. Running connections"
            " went with the gateway."
        ),
        way_out=WayOut.BLACKHOLE,
        promise=_no_answer("blackhole"),
    ),
    Topology(
        name="nat-replaced",
        title="private subnet whose route leads to another NAT gateway",
        purpose=(
            "The default route was moved to a new NAT gateway. New connections get its address;"
            " those that went through the old one are in nobody's table and are reset."
        ),
        way_out=WayOut.OTHER_NAT_GATEWAY,
        promise=Promise("works", peer=ADDRESSES.other_nat_gateway, counter="way-out"),
    ),
    Topology(
        name="nat-idle",
        title="NAT gateway that forgets idle connections after 2 s instead of 350 s",
        purpose=(
            "A NAT gateway forgets a connection that carried nothing for 350 s, and answers its"
            " next packet with a reset: what a frozen execution environment meets when it is"
            " thawed. Here the limit is scaled down."
        ),
        way_out=WayOut.NAT_GATEWAY,
        nat_idle=2.0,
        promise=Promise(
            "works; resets idle connections", peer=ADDRESSES.nat_gateway, counter="way-out"
        ),
    ),
    Topology(
        name="security-group-egress",
        title="NAT gateway, and a security group without egress rules",
        purpose=(
            "The function's security group lets nothing out, as one that Terraform makes without"
            " egress rules. It keeps state: connections that stood before the rule went stay. DNS"
            " to the VPC resolver is not filtered."
        ),
        way_out=WayOut.NAT_GATEWAY,
        stateful=(Rule(Direction.OUT, Action.DROP, Far.ANYWHERE, protocol=None, port=None),),
        promise=_no_answer("stateful-0"),
    ),
    Topology(
        name="network-acl-return",
        title="NAT gateway, and a network ACL that blocks the answers",
        purpose=(
            "The subnet's network ACL lets TCP 443 out but has no inbound rule for the ephemeral"
            " ports (1024-65535). It keeps no state: the SYN arrives, its answer is dropped, and"
            " running connections are cut."
        ),
        way_out=WayOut.NAT_GATEWAY,
        stateless=(Rule(Direction.IN, Action.DROP, Far.ANYWHERE, port=None),),
        promise=Promise(
            "SYN gets no answer",
            Phase.CONNECT,
            Outcome.TIMEOUT,
            peer=ADDRESSES.nat_gateway,
            far_side=FarSide.HALF_OPEN,
            counter="stateless-0",
        ),
    ),
    Topology(
        name="dns-silent",
        title="NAT gateway, and a resolver that does not answer",
        purpose=(
            "enableDnsSupport is off, or the DHCP options name resolvers of your own that cannot"
            " be reached: the lookup hangs, and no packet goes to the API at all."
        ),
        way_out=WayOut.NAT_GATEWAY,
        dns=DnsView(DnsMode.SILENT),
        promise=_no_name("no resolver answers", Outcome.NAME_TIMEOUT),
    ),
    Topology(
        name="dns-nxdomain",
        title="NAT gateway, and a resolver that does not know the name",
        purpose=(
            "A private hosted zone that covers the API's name without a record for it, or a rule of"
            " Route 53 Resolver DNS Firewall that answers NXDOMAIN."
        ),
        way_out=WayOut.NAT_GATEWAY,
        dns=DnsView(DnsMode.NXDOMAIN),
        promise=_no_name("no such name", Outcome.NAME_NOT_FOUND),
    ),
    Topology(
        name="dns-servfail",
        title="NAT gateway, and a resolver that fails",
        purpose=(
            "A Route 53 Resolver rule forwards the API's name to a server that does not serve it:"
            " the resolver answers SERVFAIL at once."
        ),
        way_out=WayOut.NAT_GATEWAY,
        dns=DnsView(DnsMode.SERVFAIL),
        promise=_no_name("resolver fails", Outcome.NAME_TIMEOUT),
    ),
    Topology(
        name="ipv6-only",
        title="names with IPv6 addresses only, and a function without IPv6",
        purpose=(
            "The API's names have AAAA records alone, and the function is not dual-stack"
            " (Ipv6AllowedForDualStack is off): its kernel has no route and says so at once. The"
            " NAT gateway is there, for IPv4."
        ),
        way_out=WayOut.NAT_GATEWAY,
        dns=DnsView(ipv4=False, ipv6=True),
        promise=Promise(
            "no IPv6 route",
            Phase.CONNECT,
            Outcome.UNREACHABLE,
            errnos=frozenset({errno.ENETUNREACH}),
            address=ADDRESSES.relay_ipv6,
            far_side=FarSide.NOTHING,
        ),
    ),
    Topology(
        name="ipv6-way-out",
        title="an egress-only internet gateway as the only way out",
        purpose=(
            "The subnet's only way out carries IPv6, and the function is dual-stack, but the API's"
            " names have A records alone: the first packet over IPv4 gets no answer. Whether"
            " AppSync's names have AAAA records is not documented: ask `dig AAAA`."
        ),
        way_out=WayOut.NONE,
        ipv6=True,
        promise=replace(_no_answer("no-way-out"), beside=(Beside(ADDRESSES.relay_ipv6),)),
    ),
    Topology(
        name="ipv6-dual-stack",
        title="an egress-only internet gateway, and names with IPv6 addresses",
        purpose=(
            "The same way out with names that have AAAA records as well: a dual-stack function"
            " prefers IPv6 and needs no NAT gateway. The relay sees the function's own address."
        ),
        way_out=WayOut.NONE,
        ipv6=True,
        dns=DnsView(ipv6=True),
        promise=Promise(
            "works over IPv6",
            address=ADDRESSES.relay_ipv6,
            further=(ADDRESSES.internet.address,),
            peer=ADDRESSES.function_ipv6.address,
            counter="ipv6-way-out",
            beside=(Beside(ADDRESSES.internet.address, Outcome.TIMEOUT),),
        ),
    ),
    Topology(
        name="firewall-sni-drop",
        title="NAT gateway, and a firewall that drops the ClientHello",
        purpose=(
            "AWS Network Firewall reads the server name (SNI) in the TLS handshake and drops names"
            " that it does not list: TCP connects, then TLS hangs."
        ),
        way_out=WayOut.NAT_GATEWAY,
        stateless=(Rule(Direction.OUT, Action.DROP, longer_than=_CLIENT_HELLO),),
        promise=Promise(
            "ClientHello gets no answer",
            Phase.TLS,
            Outcome.TIMEOUT,
            peer=ADDRESSES.nat_gateway,
            counter="stateless-0",
        ),
    ),
    Topology(
        name="firewall-sni-reset",
        title="NAT gateway, and a firewall that resets at the ClientHello",
        purpose=(
            "AWS Network Firewall with the action *reject*: TCP connects, and the ClientHello is"
            " answered with a reset."
        ),
        way_out=WayOut.NAT_GATEWAY,
        stateless=(Rule(Direction.OUT, Action.RESET, longer_than=_CLIENT_HELLO),),
        promise=Promise(
            "ClientHello is reset",
            Phase.TLS,
            Outcome.RESET,
            errnos=frozenset({errno.ECONNRESET}),
            counter="stateless-0",
        ),
    ),
    Topology(
        name="reject",
        title="a way out through an appliance that rejects",
        purpose=(
            "The default route leads through an instance, such as a firewall appliance, that"
            " answers with ICMP *administratively prohibited*. Nothing of AWS's own says no aloud."
        ),
        way_out=WayOut.NAT_GATEWAY,
        stateless=(Rule(Direction.OUT, Action.ADMIN_PROHIBITED, protocol=None, port=None),),
        promise=Promise(
            "SYN is rejected",
            Phase.CONNECT,
            Outcome.UNREACHABLE,
            errnos=frozenset({errno.EHOSTUNREACH}),
            far_side=FarSide.NOTHING,
            counter="stateless-0",
        ),
    ),
    Topology(
        name="reset",
        title="a way out through an appliance that resets",
        purpose=(
            "The default route leads through an instance, such as a firewall appliance, that"
            " answers a SYN with a TCP reset, as a port without a listener does."
        ),
        way_out=WayOut.NAT_GATEWAY,
        stateless=(Rule(Direction.OUT, Action.RESET, port=None),),
        promise=Promise(
            "SYN is reset",
            Phase.CONNECT,
            Outcome.REFUSED,
            errnos=frozenset({errno.ECONNREFUSED}),
            far_side=FarSide.NOTHING,
            counter="stateless-0",
        ),
    ),
)

TOPOLOGIES: Mapping[str, Topology] = MappingProxyType({each.name: each for each in _CATALOGUE})
"""By name, in the order in which reports show them."""


def find(name: str) -> Topology:
    """The topology of that name.

    Raises:
        UsageError: there is none; the message lists them all and the hint names a close one.
    """
    if name in TOPOLOGIES:
        return TOPOLOGIES[name]
    close = difflib.get_close_matches(name, TOPOLOGIES, n=1)
    raise UsageError(
        f"there is no topology {name!r}; there are {', '.join(TOPOLOGIES)}",
        hint=f"Did you mean {close[0]!r}?" if close else "Take one of these names.",
    )
