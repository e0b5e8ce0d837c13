"""Cables, addresses and routes between the namespaces of the lab, without the ``ip`` program."""

from __future__ import annotations

import socket
from pathlib import Path

from pyroute2 import IPRoute

from natless.vpc.model import ADDRESSES, Addresses, Leg, Role
from natless.vpc.network import Network, read_setting, write_setting

INTERFACE = "eth0"
"""What everybody but the router calls his only interface."""

_NO_DETECTION = 0x02  # IFA_F_NODAD: an address is ours at once, nobody else is in the network


def lay_cables(network: Network, *, addresses: Addresses = ADDRESSES) -> None:
    """Connects every leaf to the router, with addresses and routes.

    Raises:
        pyroute2.netlink.exceptions.NetlinkError: with the kernel's errno as ``code``.
    """
    with IPRoute() as ip:
        _raise_loopback(ip)
        for role, leg in addresses.legs.items():
            peer = {"ifname": INTERFACE, "net_ns_fd": network.of(role)}
            ip.link("add", ifname=str(role), kind="veth", peer=peer)
            _configure(ip, str(role), leg.router, network=leg.network)
    for role, leg in addresses.legs.items():
        with network.inside(role), IPRoute() as ip:
            _raise_loopback(ip)
            _configure(ip, INTERFACE, (leg.address,), network=leg.network)
            if role is not Role.INTERNET:  # which has no way back into a VPC
                ip.route("add", dst=addresses.vpc, gateway=leg.router[0])
            if role in (Role.FUNCTION, Role.PROXY):
                ip.route("add", dst="default", gateway=leg.router[0])


def has_ipv6() -> bool:
    """Whether this kernel knows IPv6 at all."""
    return Path("/proc/sys/net/ipv6").exists()


def lay_ipv6(network: Network, *, addresses: Addresses = ADDRESSES) -> None:
    """Gives the router and the internet their IPv6 addresses; the function's come with a plan.

    Raises:
        pyroute2.netlink.exceptions.NetlinkError: with the kernel's errno as ``code``.
    """
    for role, leg in addresses.legs_ipv6.items():
        add_ipv6(leg.router[0], interface=str(role), network=leg.network)
    write_setting("ipv6/conf/all/forwarding", "1")
    leg = addresses.internet_ipv6
    with network.inside(Role.INTERNET):
        add_ipv6(leg.address, interface=INTERFACE, network=leg.network)
        set_ipv6_route(addresses.function_ipv6.network, gateway=leg.router[0])


def add_ipv6(address: str, *, interface: str, network: str) -> None:
    """Switches IPv6 on for an interface that had none, with this address and no other."""
    for name, value in (("disable_ipv6", "0"), ("accept_ra", "0"), ("addr_gen_mode", "1")):
        write_setting(f"ipv6/conf/{interface}/{name}", value)
    length = int(network.partition("/")[2])
    with IPRoute() as ip:
        index = ip.link_lookup(ifname=interface)[0]
        ip.addr("add", index=index, address=address, prefixlen=length, flags=_NO_DETECTION)


def set_ipv6_route(network: str, *, gateway: str) -> None:
    """A route into an IPv6 network, or the default one."""
    with IPRoute() as ip:
        ip.route("add", family=socket.AF_INET6, dst=network, gateway=gateway)


def set_dual_stack(leg: Leg, *, is_on: bool) -> None:
    """Gives the function an IPv6 address and a default route, or takes all of IPv6 from it.

    Raises:
        OSError: the kernel has no IPv6, or the setting cannot be changed from here.
    """
    name = f"ipv6/conf/{INTERFACE}/disable_ipv6"
    if not is_on:
        if has_ipv6() and read_setting(name) != "1":
            write_setting(name, "1")  # which takes every address and route along
        return
    if read_setting(name) == "0":
        return
    add_ipv6(leg.address, interface=INTERFACE, network=leg.network)
    set_ipv6_route("default", gateway=leg.router[0])


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
