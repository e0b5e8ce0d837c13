"""Reads the kernel's IPv4 routes: are the lab's ranges free, and does the lab have a way out?"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator

_DEFAULT_LIKE_LENGTH = 7
"""Routes with a shorter prefix mean "everything": a VPN often splits the default route in two."""


def parse_routes(text: str) -> Iterator[tuple[str, ipaddress.IPv4Network]]:
    """The interface and the network of each route in the text of ``/proc/net/route``."""
    for line in text.splitlines()[1:]:
        interface, destination, _, _, _, _, _, mask, *_ = line.split()
        address, netmask = (
            int(part, 16).to_bytes(4, sys.byteorder) for part in (destination, mask)
        )
        packed = ipaddress.IPv4Address(address), ipaddress.IPv4Address(netmask)
        yield interface, ipaddress.IPv4Network(f"{packed[0]}/{packed[1]}", strict=False)


def find_overlap(routes: str, *, network: str) -> str | None:
    """The machine's own route, if any, that leads into a range of the lab; default routes do not.

    Args:
        routes: the text of ``/proc/net/route``.
        network: the range in CIDR form.

    Returns:
        Such as ``198.51.100.0/25 dev eth0``.
    """
    lab = ipaddress.IPv4Network(network)
    for interface, route in parse_routes(routes):
        if route.prefixlen > _DEFAULT_LIKE_LENGTH and route.overlaps(lab):
            return f"{route} dev {interface}"
    return None
