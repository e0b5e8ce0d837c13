"""How the processes of the lab talk: JSON packets with open descriptors beside them.

A pair of Unix sockets of the SEQPACKET kind keeps packets apart, carries descriptors (SCM_RIGHTS),
crosses network namespaces, and ends for one side when the last process of the other side ends.
"""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

PACKET_BYTES = 192 * 1024
"""The longest packet: below Linux's default socket buffer (``net.core.wmem_default``)."""

DESCRIPTOR_COUNT = 8
"""The most descriptors that travel with one packet."""

_DESCRIPTOR_BYTES = array.array("i").itemsize

Packet = dict[str, Any]


class PacketTooLong(ValueError):
    """A packet does not fit; the attribute ``size`` has its bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a packet of {size} bytes is longer than {PACKET_BYTES}")
        self.size = size


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, both blocking and closed on exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(
    end: socket.socket,
    packet: Mapping[str, Any],
    *,
    descriptors: Sequence[int] = (),
    wait: bool = True,
) -> None:
    """Sends one packet; the descriptors stay open here.

    Args:
        end: our end.
        packet: anything that JSON can hold.
        descriptors: copies of these arrive at the other side.
        wait: False raises at once when the other side does not keep up.

    Raises:
        PacketTooLong: nothing was sent.
        BlockingIOError: the other side does not keep up; nothing was sent.
        OSError: the other side has ended.
    """
    data = json.dumps(packet, separators=(",", ":")).encode()
    if len(data) > PACKET_BYTES:
        raise PacketTooLong(len(data))
    flags = socket.MSG_NOSIGNAL | (0 if wait else socket.MSG_DONTWAIT)
    # Not socket.send_fds and recv_fds: Python 3.11 takes their flags and does not pass them on.
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    end.sendmsg([data], beside if descriptors else [], flags)


def receive(end: socket.socket) -> tuple[Packet, list[int]] | None:
    """The next packet and its descriptors, which are ours to close; None when the other side ended.

    Raises:
        BlockingIOError: the socket does not block and there is none.
    """
    room = socket.CMSG_SPACE(DESCRIPTOR_COUNT * _DESCRIPTOR_BYTES)
    try:
        data, beside, _, _ = end.recvmsg(PACKET_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # it ended with packets of ours unread
        return None
    if not data:
        return None
    packet: Packet = json.loads(data)
    descriptors = array.array("i")
    for level, kind, content in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % _DESCRIPTOR_BYTES])
    return packet, list(descriptors)
