"""Reads the kernel's table of TCP sockets: what one side of a connection has seen of the other."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class TcpState(IntEnum):
    """States of a TCP socket, by the kernel's numbers."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One socket of the table: who talks to whom, and how far it got."""

    local: str
    local_port: int
    remote: str
    remote_port: int
    state: TcpState

    @property
    def is_half_open(self) -> bool:
        """Whether a SYN came in and its answer was never confirmed."""
        return self.state in (TcpState.SYN_RECV, TcpState.NEW_SYN_RECV)


def parse_tcp_table(text: str) -> tuple[TcpSocket, ...]:
    """The sockets in the text of ``/proc/net/tcp`` or ``tcp6``, without those that listen."""
    found = []
    for line in text.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if int(state, 16) != TcpState.LISTEN:
            found.append(TcpSocket(*_address(local), *_address(remote), TcpState(int(state, 16))))
    return tuple(found)


def read_tcp_table() -> tuple[TcpSocket, ...]:
    """The sockets of the network namespace that this thread is in, of both families."""
    found: tuple[TcpSocket, ...] = ()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            found += parse_tcp_table(Path("/proc/thread-self/net", name).read_text())
    return found


def _address(text: str) -> tuple[str, int]:
    # The kernel prints each four bytes of an address as one number in the machine's own order.
    address, _, port = text.partition(":")
    words = (int(address[start : start + 8], 16) for start in range(0, len(address), 8))
    raw = b"".join(word.to_bytes(4, "little" if _IS_LITTLE else "big") for word in words)
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)


_IS_LITTLE = socket.htons(1) != 1
