"""From packets back to messages, however the channel treated them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from event_protocol.errors import RemoteProtocolError
from event_protocol.packets import Packet


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, put together from its packets."""

    code: int
    source: str
    id: str
    body: bytes = field(repr=False)


@dataclass(slots=True)
class _Partial:
    """A message whose packets are still arriving."""

    pieces: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    highest: int = 0
    end: int | None = None  # how many packets there are, once the final one was seen

    @property
    def is_complete(self) -> bool:
        return len(self.pieces) == self.end


_Key = tuple[str, str, int]


class Reassembler:
    """Puts messages together from packets that arrive in any order, repeated, or not at all.

    A message is known by source, id and code: an ERROR whose id is that of a RESPONSE which was
    begun and never finished is another message. Three rules for what the channel may do:

    * A packet that was already seen is dropped; so is everything under the name of a message that
      was already delivered (the bridge also delivers an id once).
    * A packet 0 that differs from the one already held begins the message anew: the sender gave
      the first attempt up.
    * A gap would wait for ever. When more is held than allowed, the message that was touched
      longest ago is given up, and :attr:`abandoned` counts it.

    Args:
        max_buffered_packets: packets held at once, over all messages.
        max_message_bytes: bytes of one body. Lambda allows 6 MiB.
        max_buffered_bytes: bytes held at once, over all messages; never less than one message.
        max_remembered: names of finished messages that are remembered to recognize repeats.
    """

    def __init__(
        self,
        max_buffered_packets: int = 4_000,
        max_message_bytes: int = 8 * 1024 * 1024,
        *,
        max_buffered_bytes: int = 64 * 1024 * 1024,
        max_remembered: int = 1_000,
    ) -> None:
        self._max_packets = max_buffered_packets
        self._max_message = max_message_bytes
        self._max_bytes = max(max_buffered_bytes, max_message_bytes)
        self._max_remembered = max_remembered
        self._partial: OrderedDict[_Key, _Partial] = OrderedDict()
        self._finished: OrderedDict[_Key, None] = OrderedDict()
        self._held = 0
        self._held_bytes = 0
        self.abandoned = 0

    @property
    def buffered_packets(self) -> int:
        """How many packets wait for the rest of their message."""
        return self._held

    @property
    def unfinished(self) -> tuple[tuple[str, str, int], ...]:
        """``(source, id, code)`` of the messages that are not complete, least recent first."""
        return tuple(self._partial)

    def receive(self, packet: Packet) -> Message | None:
        """Takes one packet; the message, if it is complete now.

        Raises:
            RemoteProtocolError: the packet contradicts its message or makes it too large. The
                message is given up and the rest of it will be dropped.
        """
        key = (packet.source, packet.id, int(packet.type))
        if key in self._finished:
            return None
        partial = self._partial.setdefault(key, _Partial())
        self._partial.move_to_end(key)
        if packet.index == 0 and partial.pieces.get(0, packet.data) != packet.data:
            self._drop(key)
            partial = self._partial[key] = _Partial()
        self._add(key, partial, packet)
        if partial.is_complete:
            return self._finish(key)
        self._make_room()
        return None

    def _add(self, key: _Key, partial: _Partial, packet: Packet) -> None:
        held = partial.pieces.get(packet.index)
        if held is None:
            partial.pieces[packet.index] = packet.data
            partial.size += len(packet.data)
            partial.highest = max(partial.highest, packet.index)
            self._held += 1
            self._held_bytes += len(packet.data)
        if packet.final and partial.end is None:
            partial.end = packet.index + 1
        if reason := self._contradiction(partial, packet, held):
            self.abandon(*key)
            raise RemoteProtocolError(reason)

    def _contradiction(self, partial: _Partial, packet: Packet, held: bytes | None) -> str | None:
        if held is not None and held != packet.data:
            return "two packets of a message have one index and different content"
        if partial.end is not None and (
            partial.highest >= partial.end or packet.final is not (packet.index + 1 == partial.end)
        ):
            return "a message has packets after its final one"
        if partial.size > self._max_message:
            return f"a message is larger than {self._max_message} bytes"
        return None

    def abandon(self, source: str, id: str, code: int) -> None:  # noqa: A002  the wire's word
        """Gives an unfinished message up; later packets of it are dropped."""
        key = (source, id, int(code))
        if key in self._partial:
            self._drop(key)
            self._remember(key)
            self.abandoned += 1

    def _drop(self, key: _Key) -> _Partial:
        partial = self._partial.pop(key)
        self._held -= len(partial.pieces)
        self._held_bytes -= partial.size
        return partial

    def _finish(self, key: _Key) -> Message:
        partial = self._drop(key)
        self._remember(key)
        source, id_, code = key
        body = b"".join(partial.pieces[index] for index in range(len(partial.pieces)))
        return Message(code, source, id_, body)

    def _remember(self, key: _Key) -> None:
        self._finished[key] = None
        if len(self._finished) > self._max_remembered:
            self._finished.popitem(last=False)

    def _make_room(self) -> None:
        while self._held > self._max_packets or self._held_bytes > self._max_bytes:
            self.abandon(*next(iter(self._partial)))
