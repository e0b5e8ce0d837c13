"""The empty network namespaces of a lab, held by open descriptors. No pyroute2 is needed yet."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from natless.vpc import kernel
from natless.vpc.model import LEAVES, Role

SETTINGS_VARIABLE = "NATLESS_NET_SETTINGS"
"""Names another place of ``/proc/sys/net``. Whoever reads there sees his own network's settings, as
the kernel looks at the reader and not at the mount."""


@dataclass(frozen=True, slots=True)
class Network:
    """The lab's namespaces. They have no names, so two labs never want the same one.

    Attributes:
        router: the one that the supervisor is in.
        leaves: all others.
    """

    router: int
    leaves: Mapping[Role, int]

    def of(self, role: Role) -> int:
        """The namespace in which somebody lives."""
        return self.router if role is Role.ROUTER else self.leaves[role]

    @contextlib.contextmanager
    def inside(self, role: Role) -> Iterator[None]:
        """Does what follows in somebody's namespace, then returns to the router's."""
        kernel.enter(self.of(role), flags=kernel.CLONE_NEWNET)
        try:
            yield
        finally:
            kernel.enter(self.router, flags=kernel.CLONE_NEWNET)


def make_network() -> Network:
    """Makes the leaves; the namespace that this process is in becomes the router's.

    Raises:
        OSError: with the kernel's errno.
    """
    router = kernel.current_network()
    _prepare()
    leaves = {}
    for role in LEAVES:
        leaves[role] = kernel.new_network()
        _prepare()
    kernel.enter(router, flags=kernel.CLONE_NEWNET)
    return Network(router, leaves)


def _prepare() -> None:
    # The reverse path filter would drop in silence what only the rules may drop. Interfaces get no
    # IPv6 unless a plan says so: an address that nobody gave them would count as one.
    write_setting("ipv4/conf/all/rp_filter", "0")
    write_setting("ipv4/conf/default/rp_filter", "0")
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        write_setting("ipv6/conf/default/disable_ipv6", "1")


def read_setting(name: str) -> str:
    """One ``net.`` setting of the network namespace that this process is in."""
    return (_settings() / name).read_text().strip()


def write_setting(name: str, value: str) -> None:
    """Writes one ``net.`` setting of the network namespace that this process is in."""
    (_settings() / name).write_text(value)


def _settings() -> Path:
    """A container has its own read-only, and may have the same once more where it can write."""
    return Path(os.environ.get(SETTINGS_VARIABLE) or "/proc/sys/net")
