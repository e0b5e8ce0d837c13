"""Packets: the pieces in which SST Live sends a message over a channel.

A message is a code and a body. It travels as one or more packets, each one event on the channel, at
most 128 KiB of body in each. Constants and the order of members were observed with the unmodified
bridge of SST 4.17.1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from json.encoder import encode_basestring
from typing import Any, Final

from event_protocol.errors import LocalProtocolError, RemoteProtocolError

CHUNK_BYTES: Final = 131_072
"""Raw bytes of one packet; 174,764 characters of base64, below AppSync's 240 KB per event."""

NAME_LENGTH: Final = 256
"""Characters of a ``source`` or ``id`` that we accept; SST's have 3 to 36. Ours."""


class MessageCode(IntEnum):
    """What a message is."""

    INIT = 0  # guest: environment and function id, start a process
    PING = 1  # developer: got your NEXT, go on waiting
    NEXT = 2  # guest: an invocation, as the Runtime API's raw HTTP response
    RESPONSE = 3  # developer: the answer; its message id is the request id
    ERROR = 4  # developer: the handler failed; its message id is the request id
    REBOOT = 5  # developer: I do not know you, send INIT again
    INIT_ERROR = 6  # developer: the handler could not be loaded
    TASK_START = 7
    TASK_COMPLETE = 8

    HELLO = 100  # developer: I know your features
    PROBE = 101  # guest to itself: is my subscription live?
    ACCEPTED = 102  # developer: this request is in my hands
    BEAT = 103  # developer: still working on this request
    CANCEL = 104  # guest: this request is answered or expired, stop
    REPORT = 105  # guest: what was measured


@dataclass(frozen=True, slots=True)
class Packet:
    """One event on the channel, a piece of a message.

    Attributes:
        type: a :class:`MessageCode`, or another number from a peer that is newer than we are.
        source: who publishes: ``dev``, or the last 32 characters of the guest's log stream name.
        id: the message's; all packets of a message share it.
        index: 0, 1, 2 … within the message.
        data: this piece of the body, not encoded.
        final: whether the message ends here.
    """

    type: int
    source: str
    id: str
    index: int
    data: bytes = field(repr=False)
    final: bool

    def __post_init__(self) -> None:
        if self.type < 0 or self.index < 0:
            raise LocalProtocolError("a packet's type and index count from 0")
        for name in (self.source, self.id):
            if not (0 < len(name) <= NAME_LENGTH and _is_encodable(name)):
                raise LocalProtocolError(
                    f"a packet's source and id have 1 to {NAME_LENGTH} characters"
                )


def encode_packet(packet: Packet) -> str:
    """The packet as the text of one event, its members in the order the bridge writes them."""
    return (
        f'{{"type":{int(packet.type)},"source":{encode_basestring(packet.source)}'
        f',"id":{encode_basestring(packet.id)},"index":{packet.index}'
        f',"data":"{base64.b64encode(packet.data).decode()}"'
        f',"final":{"true" if packet.final else "false"}}}'
    )


def decode_packet(text: str) -> Packet:
    """The packet that an event's text holds.

    The bridge itself skips what it cannot read, and with it, perhaps, the end of a message. Here
    it is an error, which the caller should count and drop.

    Raises:
        RemoteProtocolError: the text is not a packet.
    """
    try:
        raw = json.loads(text)
        return Packet(
            type=_require(int, raw["type"]),
            source=_require(str, raw["source"]),
            id=_require(str, raw["id"]),
            index=_require(int, raw["index"]),
            data=base64.b64decode(_require(str, raw["data"]), validate=True),
            final=_require(bool, raw["final"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, LocalProtocolError):
        raise RemoteProtocolError("the event is not a packet") from None  # never repeat its text


def split(
    code: int,
    *,
    source: str,
    id: str,  # noqa: A002  the word on the wire
    body: bytes,
    chunk: int = CHUNK_BYTES,
) -> Iterator[Packet]:
    """The packets of one message, in order.

    A body that is an exact multiple of ``chunk`` bytes, the empty one included, ends with an empty
    final packet: the bridge sends a full buffer before it knows that nothing follows.
    """
    if chunk < 1:
        raise LocalProtocolError("a chunk has at least one byte")
    for index in range(len(body) // chunk + 1):
        piece = body[index * chunk : (index + 1) * chunk]
        yield Packet(code, source, id, index, piece, final=len(piece) < chunk)


def _require(kind: type[Any], value: object) -> Any:  # noqa: ANN401  the caller names the type
    if type(value) is not kind:  # a bool is an int to isinstance
        raise TypeError
    return value


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
