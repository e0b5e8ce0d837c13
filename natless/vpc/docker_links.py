"""Addresses and routes in a container's own network, without the ``ip`` program.

The engine names interfaces in an order of its own, so everything here goes by address.
"""

from __future__ import annotations

import ipaddress
import socket

from pyroute2 import IPRoute


def remove_default_route() -> None:
    """Takes the default route out, however many there are."""
    with IPRoute() as ip:
        for route in list(ip.get_default_routes(family=socket.AF_INET)):
            ip.route("del", dst="default", gateway=route.get_attr("RTA_GATEWAY"))


def set_route(network: str, *, gateway: str) -> None:
    """A route into a network, in place of any that there was."""
    with IPRoute() as ip:
        ip.route("replace", dst=network, gateway=gateway)


def add_addresses(wanted: tuple[str, ...], *, network: str) -> None:
    """Gives further addresses of a network to the interface that is in it.

    Raises:
        LookupError: no interface is in that network.
    """
    parsed = ipaddress.IPv4Network(network)
    with IPRoute() as ip:
        index = _interface_in(ip, parsed)
        for address in wanted:
            ip.addr("add", index=index, address=address, prefixlen=parsed.prefixlen)


def interface_in(network: str) -> str:
    """The name of the interface that is in an IPv4 network.

    Raises:
        LookupError: none is.
    """
    with IPRoute() as ip:
        index = _interface_in(ip, ipaddress.IPv4Network(network))
        return str(ip.get_links(index)[0].get_attr("IFLA_IFNAME"))


def _interface_in(ip: IPRoute, network: ipaddress.IPv4Network) -> int:
    for message in ip.get_addr(family=socket.AF_INET):
        if ipaddress.IPv4Address(message.get_attr("IFA_ADDRESS")) in network:
            return int(message["index"])
    raise LookupError(f"no interface of this container is in {network}")
