"""A topology: what the function can reach, and how it fails when it cannot. Values only.

::

    function 10.0.1.10 ── .1 ┐                      ┌ .2 NAT gateway, .3 Lambda's own network
    resolver 10.0.0.2  ── .1 ┤        router        ├ .4 the proxy's address, .5 another gateway
    proxy    10.0.8.10 ── .1 ┤ (filter, NAT, count) ├────── 198.51.100.10 relay ("the internet")
    endpoint 10.0.9.10 ── .1 ┘                      ┘        no route back to 10.0.0.0/16

The relay has no route back to the VPC, so a forgotten translation fails as it does on AWS. The
internet lives in 198.51.100.0/24 (TEST-NET-2, RFC 5737): machines for continuous integration were
seen with their own uplink in the two other documentation ranges. IPv6 has the documentation range
2001:db8::/32 (RFC 3849), in the function's subnet and in the internet alone; as on AWS nobody
translates its addresses, so the relay knows the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from event_protocol.phases import Outcome, Phase


class Role(StrEnum):
    """Who lives in a network namespace of the lab."""

    FUNCTION = "function"
    INTERNET = "internet"
    ENDPOINT = "endpoint"
    RESOLVER = "resolver"
    PROXY = "proxy"
    ROUTER = "router"


LEAVES = (Role.FUNCTION, Role.RESOLVER, Role.ENDPOINT, Role.PROXY, Role.INTERNET)
"""Everybody but the router that connects them."""

TLS_PORT = 443
"""Where the relay and the endpoint listen; the only port that AWS serves AppSync on."""

PROXY_PORT = 3128
"""Where the egress proxy listens, as Squid does."""

CUSTOM_DOMAIN = "events.example.com"
"""The name that the lab's Event API has besides its generated ones (RFC 2606 keeps it free)."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One network and the two ends of its cable.

    Attributes:
        network: the network in CIDR form.
        address: the address of who lives there.
        router: the router's addresses in it, the first being the gateway.
    """

    network: str
    address: str
    router: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Every address of the lab. The resolver is the VPC's base plus two, as on AWS."""

    vpc: str = "10.0.0.0/16"
    function: Leg = Leg("10.0.1.0/24", "10.0.1.10", ("10.0.1.1",))
    resolver: Leg = Leg("10.0.0.0/24", "10.0.0.2", ("10.0.0.1",))
    endpoint: Leg = Leg("10.0.9.0/24", "10.0.9.10", ("10.0.9.1",))
    proxy: Leg = Leg("10.0.8.0/24", "10.0.8.10", ("10.0.8.1",))
    internet: Leg = Leg(
        "198.51.100.0/24",
        "198.51.100.10",
        ("198.51.100.2", "198.51.100.3", "198.51.100.4", "198.51.100.5"),
    )
    function_ipv6: Leg = Leg("2001:db8:1::/64", "2001:db8:1::10", ("2001:db8:1::1",))
    internet_ipv6: Leg = Leg("2001:db8:100::/64", "2001:db8:100::10", ("2001:db8:100::1",))

    @property
    def relay_ipv6(self) -> str:
        """The relay's other address."""
        return self.internet_ipv6.address

    @property
    def nat_gateway(self) -> str:
        """What the relay sees as the peer behind a NAT gateway."""
        return self.internet.router[0]

    @property
    def lambda_network(self) -> str:
        """What the relay sees as the peer of a function that is not in a VPC."""
        return self.internet.router[1]

    @property
    def proxy_public(self) -> str:
        """What the relay sees as the peer behind the egress proxy."""
        return self.internet.router[2]

    @property
    def other_nat_gateway(self) -> str:
        """What the relay sees as the peer behind the gateway that replaced another."""
        return self.internet.router[3]

    @property
    def legs_ipv6(self) -> MappingProxyType[Role, Leg]:
        """The IPv6 legs, of those who can have one."""
        return MappingProxyType(
            {Role.FUNCTION: self.function_ipv6, Role.INTERNET: self.internet_ipv6}
        )

    @property
    def legs(self) -> MappingProxyType[Role, Leg]:
        """The leg of each who is not the router."""
        return MappingProxyType(
            {
                Role.FUNCTION: self.function,
                Role.RESOLVER: self.resolver,
                Role.ENDPOINT: self.endpoint,
                Role.PROXY: self.proxy,
                Role.INTERNET: self.internet,
            }
        )


ADDRESSES = Addresses()


@dataclass(frozen=True, slots=True)
class Api:
    """The names of one Event API on AWS.

    Attributes:
        label: the 26 word characters that AWS generates for it.
        region: such as ``us-east-1``.
    """

    label: str
    region: str

    @property
    def http_host(self) -> str:
        """Where events are published over HTTP."""
        return f"{self.label}.appsync-api.{self.region}.amazonaws.com"

    @property
    def realtime_host(self) -> str:
        """Where the WebSocket is opened."""
        return f"{self.label}.appsync-realtime-api.{self.region}.amazonaws.com"

    @property
    def control_host(self) -> str:
        """Where the region's AppSync control plane answers."""
        return f"appsync.{self.region}.amazonaws.com"


class WayOut(StrEnum):
    """How packets of the function's subnet leave for the internet, if they do."""

    LAMBDA_NETWORK = "lambda-network"  # the function is not in a VPC
    NAT_GATEWAY = "nat-gateway"  # a default route to a NAT gateway
    OTHER_NAT_GATEWAY = "other-nat-gateway"  # the same route, to the gateway that replaced it
    INTERNET_GATEWAY = "internet-gateway"  # a public subnet: they leave with a private source
    BLACKHOLE = "blackhole"  # a default route to a NAT gateway that was deleted: likewise silent
    NONE = "none"  # no route: AWS drops them without a word

    @property
    def is_closed(self) -> bool:
        """Whether nothing leaves at all."""
        return self in (WayOut.BLACKHOLE, WayOut.NONE)

    @property
    def is_nat_gateway(self) -> bool:
        """Whether a NAT gateway translates what leaves."""
        return self in (WayOut.NAT_GATEWAY, WayOut.OTHER_NAT_GATEWAY)

    def seen_as(self, addresses: Addresses = ADDRESSES) -> str | None:
        """What the relay sees as the peer, None where nothing is translated."""
        return {
            WayOut.LAMBDA_NETWORK: addresses.lambda_network,
            WayOut.NAT_GATEWAY: addresses.nat_gateway,
            WayOut.OTHER_NAT_GATEWAY: addresses.other_nat_gateway,
        }.get(self)


class Action(StrEnum):
    """What happens to a packet that a rule matches."""

    ACCEPT = "accept"
    DROP = "drop"  # silence
    RESET = "reset"  # TCP reset: ECONNREFUSED, or ECONNRESET in mid-life
    PORT_UNREACHABLE = "port-unreachable"  # ECONNREFUSED
    ADMIN_PROHIBITED = "admin-prohibited"  # EHOSTUNREACH
    HOST_UNREACHABLE = "host-unreachable"  # EHOSTUNREACH
    NET_UNREACHABLE = "net-unreachable"  # ENETUNREACH


class Direction(StrEnum):
    """Which way a packet travels, seen from the function."""

    OUT = "out"
    IN = "in"


class Far(StrEnum):
    """Who is at the other end."""

    INTERNET = "internet"
    ENDPOINT = "endpoint"
    ANYWHERE = "anywhere"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a security group, a network ACL or a firewall.

    DNS to the VPC resolver is never met by it, as on AWS.

    Attributes:
        direction: the packet's way.
        action: what happens to it.
        far: the other end.
        protocol: ``tcp``, ``udp``, or None for any.
        port: the port of the far end, None for any.
        longer_than: matches only packets of more bytes; a ClientHello is longer than 100, the
            packets of a TCP handshake are not. This is how a firewall that reads the server name
            is imitated.
    """

    direction: Direction
    action: Action
    far: Far = Far.INTERNET
    protocol: str | None = "tcp"
    port: int | None = TLS_PORT
    longer_than: int | None = None


class DnsMode(StrEnum):
    """How the VPC resolver behaves."""

    ANSWER = "answer"
    SILENT = "silent"  # EAI_AGAIN after 10 s with glibc's 5 s times two tries
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DnsView:
    """What the resolver says in a topology.

    Attributes:
        mode: whether it answers at all.
        ipv4: whether the names have A records.
        ipv6: whether the names have AAAA records. Where the function has no IPv6, a name that has
            nothing else fails with ENETUNREACH.
    """

    mode: DnsMode = DnsMode.ANSWER
    ipv4: bool = True
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An interface endpoint for AppSync in the VPC.

    The exact status and body of a public API that is called through an endpoint are not published;
    API Gateway in the same layout answers 403 Forbidden, and AWS says that "calls to public APIs
    are refused" (AWS AppSync developer guide, using-private-apis).

    Attributes:
        private_dns: whether the names of *all* AppSync APIs of the region mean this endpoint.
        status: the HTTP status of every answer.
        error_type: the AWS error type in its body.
        message: the sentence in its body.
    """

    private_dns: bool = True
    status: int = 403
    error_type: str = "ForbiddenException"
    message: str = "Forbidden"


class FarSide(StrEnum):
    """What the other end must have seen of the function's attempt."""

    CONNECTED = "connected"
    HALF_OPEN = "half-open"  # it got the SYN and nobody got its answer
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Beside:
    """An address that the function tries beside the call, and how that must end.

    It proves what the call alone cannot: that the way which is not taken is there, or is closed.

    Attributes:
        address: of the relay or the endpoint.
        outcome: OK for a TCP connection that is made.
    """

    address: str
    outcome: Outcome = Outcome.OK


@dataclass(frozen=True, slots=True)
class Promise:
    """What a topology shows, which a probe proves before anything is measured.

    Attributes:
        text: the promise in a few words, as reports print it.
        phase: the phase that ends it; for a topology that works, ``Phase.REPLY``.
        outcome: how that phase ends; ``Outcome.OK`` means that everything works.
        http_status: the status of an answer that is an HTTP error.
        errnos: the errors that the kernel may name; empty when none is expected.
        address: where the names must point, None when they do not resolve.
        further: more addresses of the same names, in the order in which they are tried.
        elsewhere: where the API's generated names point when the function is told another one.
        peer: the address that the far side must see, None when it sees nobody.
        far_side: what the far side must have seen.
        counter: the router's rule (see :mod:`natless.vpc.rules`) that must have counted packets.
        beside: what else must be reachable, or must not.
    """

    text: str
    phase: Phase = Phase.REPLY
    outcome: Outcome = Outcome.OK
    http_status: int | None = None
    errnos: frozenset[int] = frozenset()
    address: str | None = ADDRESSES.internet.address
    further: tuple[str, ...] = ()
    elsewhere: str | None = None
    peer: str | None = None
    far_side: FarSide = FarSide.CONNECTED
    counter: str | None = None
    beside: tuple[Beside, ...] = ()

    @property
    def is_working(self) -> bool:
        """Whether the topology promises that invocations reach the developer."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Topology:
    """What the function can reach and how it fails when it cannot.

    Attributes:
        name: what it is called on the command line.
        title: the same for people.
        purpose: when somebody has it, in a sentence or two.
        promise: what it shows.
        way_out: how packets leave for the internet.
        endpoint: the interface endpoint in the VPC, if there is one.
        dns: what the resolver says.
        stateless: rules that also meet running connections: network ACL, Network Firewall.
        stateful: rules that only new connections meet: security group.
        default_route: False takes the default route out of the function's own table, which Linux
            reports at once and AWS never does: for testing a program's error handling.
        syn_retries: makes the function's kernel give up early; None leaves it at Linux's 6.
        ipv6: the function has dual stack, and ::/0 leads to an egress-only internet gateway.
        has_proxy: an egress proxy is in the VPC, and the function is told of it (``HTTPS_PROXY``).
        custom_domain: the function is told the Event API's custom domain.
        nat_idle: seconds after which the NAT gateway forgets a connection without packets. On AWS
            350 (Amazon VPC user guide, "NAT gateway basics"); None never does.
    """

    name: str
    title: str
    purpose: str
    promise: Promise
    way_out: WayOut = WayOut.NONE
    endpoint: Endpoint | None = None
    dns: DnsView = DnsView()
    stateless: tuple[Rule, ...] = ()
    stateful: tuple[Rule, ...] = ()
    default_route: bool = True
    syn_retries: int | None = None
    ipv6: bool = False
    has_proxy: bool = False
    custom_domain: bool = False
    nat_idle: float | None = None
