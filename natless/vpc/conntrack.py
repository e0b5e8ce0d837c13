"""What a router remembers of running connections: how long, and that it is all forgotten."""

from __future__ import annotations

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from natless.vpc.network import read_setting, write_setting

_ESTABLISHED = "netfilter/nf_conntrack_tcp_timeout_established"
_LINUX_SECONDS = 432_000
"""Linux's own limit: five days."""


def forget_connections() -> None:
    """Empties the table of this network namespace: who translated what is not known any more.

    Raises:
        pyroute2.netlink.exceptions.NetlinkError: the kernel refused.
    """
    with NFCTSocket() as table:
        table.flush()


def set_idle_limit(seconds: float | None) -> None:
    """How long a connection may be without packets, whole seconds; None is Linux's own limit.

    Raises:
        OSError: the kernel's settings cannot be changed from here, and they would have to.
    """
    wanted = str(_LINUX_SECONDS if seconds is None else max(1, round(seconds)))
    try:
        is_set = read_setting(_ESTABLISHED) == wanted
    except FileNotFoundError:  # the kernel has not needed a table here, so nothing has a limit
        is_set = seconds is None
    if not is_set:
        write_setting(_ESTABLISHED, wanted)
