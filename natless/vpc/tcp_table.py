"""Reads the kernel's table of TCP sockets: what one side of a connection has seen of the other."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import IntEnum


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
    """The sockets in the text of ``/proc/net/tcp`` (IPv4), without those that listen."""
    found = []
    for line in text.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if int(state, 16) != TcpState.LISTEN:
            found.append(TcpSocket(*_address(local), *_address(remote), TcpState(int(state, 16))))
    return tuple(found)


def _address(text: str) -> tuple[str, int]:
    # The kernel prints the four bytes of an address as one number in the machine's own order.
    address, _, port = text.partition(":")
    raw = int(address, 16).to_bytes(4, "little" if _IS_LITTLE else "big")
    return socket.inet_ntoa(raw), int(port, 16)


_IS_LITTLE = socket.htons(1) != 1
