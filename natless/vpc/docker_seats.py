"""Who sits where in a lab of containers, and with which address."""

from __future__ import annotations

from enum import StrEnum

from natless.vpc.model import ADDRESSES, Addresses, Leg, Role


class Seat(StrEnum):
    """A container with an agent. Two of them only hold a network for others to live in."""

    ROUTER = "router"
    RESOLVER = "resolver"
    ENDPOINT = "endpoint"
    PROXY = "proxy"
    FUNCTION_NET = "function-net"  # owns the function's network, and may change its routes
    FUNCTION = "function"  # runs the function in it, without any power
    INTERNET_NET = "internet-net"  # owns the network that the relay lives in


POWERFUL = frozenset({Seat.ROUTER, Seat.FUNCTION_NET, Seat.INTERNET_NET})
"""Who changes addresses, routes or rules, and so has NET_ADMIN."""

NETWORK_OF = {
    Role.ROUTER: Seat.ROUTER,
    Role.RESOLVER: Seat.RESOLVER,
    Role.ENDPOINT: Seat.ENDPOINT,
    Role.PROXY: Seat.PROXY,
    Role.FUNCTION: Seat.FUNCTION_NET,
    Role.INTERNET: Seat.INTERNET_NET,
}
"""Who can make sockets, and read the kernel's tables, in somebody's network."""

PROGRAMS_OF = NETWORK_OF | {Role.FUNCTION: Seat.FUNCTION}
"""Who starts programs in somebody's network."""

_ROUTER_HOST = 250
"""The router's own address in each network of the VPC. The gateway's is the engine's to give away,
and a container can take it only after it has started."""


def router_address(leg: Leg, *, addresses: Addresses = ADDRESSES) -> str:
    """The address that the engine gives the router in a network."""
    if leg is addresses.internet:
        return leg.router[0]
    return f"{leg.address.rpartition('.')[0]}.{_ROUTER_HOST}"


def gateway_address(leg: Leg, *, addresses: Addresses = ADDRESSES) -> str:
    """The gateway that the engine tells containers; in the internet an address that nobody has."""
    return f"{leg.address.rpartition('.')[0]}.254" if leg is addresses.internet else leg.router[0]


def router_extra_addresses(leg: Leg, *, addresses: Addresses = ADDRESSES) -> tuple[str, ...]:
    """What the router must take besides, as soon as it runs."""
    given = router_address(leg, addresses=addresses)
    return tuple(each for each in leg.router if each != given)
