"""Cables, addresses and routes between the namespaces of the lab, without the ``ip`` program."""

from __future__ import annotations

import socket

from pyroute2 import IPRoute

from natless.vpc.model import ADDRESSES, Addresses, Leg, Role
from natless.vpc.network import Network

_INTERFACE = "eth0"


def lay_cables(network: Network, *, addresses: Addresses = ADDRESSES) -> None:
    """Connects every leaf to the router, with addresses and routes.

    Raises:
        pyroute2.netlink.exceptions.NetlinkError: with the kernel's errno as ``code``.
    """
    with IPRoute() as ip:
        _raise_loopback(ip)
        for role, leg in addresses.legs.items():
            peer = {"ifname": _INTERFACE, "net_ns_fd": network.of(role)}
            ip.link("add", ifname=str(role), kind="veth", peer=peer)
            _configure(ip, str(role), leg.router, network=leg.network)
    for role, leg in addresses.legs.items():
        with network.inside(role), IPRoute() as ip:
            _raise_loopback(ip)
            _configure(ip, _INTERFACE, (leg.address,), network=leg.network)
            if role is not Role.INTERNET:  # which has no way back into a VPC
                ip.route("add", dst=addresses.vpc, gateway=leg.router[0])
            if role is Role.FUNCTION:
                ip.route("add", dst="default", gateway=leg.router[0])


def set_default_route(leg: Leg, *, is_present: bool) -> None:
    """Adds or removes the default route of the namespace that this process is in."""
    with IPRoute() as ip:
        has_one = any(True for _ in ip.get_default_routes(family=socket.AF_INET))
        if is_present != has_one:
            ip.route("add" if is_present else "del", dst="default", gateway=leg.router[0])


def _raise_loopback(ip: IPRoute) -> None:
    ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")


def _configure(ip: IPRoute, name: str, addresses: tuple[str, ...], *, network: str) -> None:
    index = ip.link_lookup(ifname=name)[0]
    length = int(network.partition("/")[2])
    for address in addresses:
        ip.addr("add", index=index, address=address, prefixlen=length)
    ip.link("set", index=index, state="up")
