"""Bytes of one direction of an HTTP/1.1 connection, told as messages.

    GET /event/realtime … 101      after the switch: WebSocket frames, pieces of one message joined
    POST /event …           200      else: head and body

The reader only watches a copy; what travels is never touched. It knows what the recorded clients
use: Content-Length and chunked bodies, no compression, no HTTP/2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class Head:
    """A request's or a response's first line and headers, and its body.

    Attributes:
        first: the first line.
        headers: names in lower case, in the order sent; a repeated name appears repeatedly.
        body: all of it.
    """

    first: str
    headers: tuple[tuple[str, str], ...]
    body: str = ""

    def header(self, name: str) -> str:
        """The first value of that name, or an empty string."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def switches(self) -> bool:
        """Whether WebSocket frames follow this response."""
        return self.first.startswith("HTTP/1.1 101")


@dataclass(frozen=True, slots=True)
class Text:
    """One text message of a WebSocket."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """A WebSocket's close frame; ``code`` is None where it carries none."""

    code: int | None
    reason: str


Message = Head | Text | Close


class Reader:
    """Turns the bytes of one direction into messages as they complete.

    ``framed`` is set from outside for the client's direction, as only the response says that the
    connection was switched.
    """

    def __init__(self) -> None:
        self.framed = False
        self._buffer = bytearray()
        self._pieces = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Takes bytes as they came; gives the messages that they complete."""
        self._buffer += data
        while (message := self._next()) is not None:
            yield message
            if isinstance(message, Head) and message.switches:
                self.framed = True

    def _next(self) -> Message | None:
        return self._next_framed() if self.framed else self._next_head()

    def _next_head(self) -> Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        head = Head(first, tuple((name.lower(), value.strip()) for name, _, value in pairs))
        taken = self._body(head, end + 4)
        if taken is None:
            return None
        body, length = taken
        del self._buffer[:length]
        return Head(head.first, head.headers, body.decode())

    def _body(self, head: Head, start: int) -> tuple[bytes, int] | None:
        if head.header("transfer-encoding").lower() == "chunked":
            return self._chunks(start)
        length = start + int(head.header("content-length") or 0)
        return (bytes(self._buffer[start:length]), length) if len(self._buffer) >= length else None

    def _chunks(self, at: int) -> tuple[bytes, int] | None:
        body = bytearray()
        while (line := self._buffer.find(b"\r\n", at)) >= 0:
            size = int(self._buffer[at:line].split(b";")[0], 16)
            end = line + 2 + size
            if len(self._buffer) < end + 2:
                return None
            body += self._buffer[line + 2 : end]
            at = end + 2
            if size == 0:
                return bytes(body), at
        return None

    def _next_framed(self) -> Text | Close | None:
        while (frame := self._frame()) is not None:
            final, opcode, payload = frame
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2]) if len(payload) >= 2 else None
                return Close(code, payload[2:].decode())
            if opcode in {PING, PONG}:  # the transport's own affair, on the library's timers
                continue
            assert opcode != BINARY, "no client of the channel sends binary frames"
            self._pieces += payload
            if final:
                text = Text(self._pieces.decode())
                self._pieces.clear()
                return text
        return None

    def _frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        at, length = 2, buffer[1] & 0x7F
        assert not buffer[0] & 0x40, "a compressed frame: the relay should have declined that"
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(buffer) < at + size:
                return None
            length = int.from_bytes(buffer[at : at + size])
            at += size
        mask = b""
        if buffer[1] & 0x80:
            mask, at = bytes(buffer[at : at + 4]), at + 4
        if len(buffer) < at + length:
            return None
        payload = bytes(buffer[at : at + length])
        if mask:
            payload = _unmasked(payload, mask)
        final, opcode = bool(buffer[0] & 0x80), buffer[0] & 0x0F
        del buffer[: at + length]
        return final, opcode, payload


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(len(payload))


def encode_text(text: str) -> bytes:
    """A client's text frame, masked with zeros (legal, and the same every time)."""
    return _client_frame(TEXT, text.encode())


def encode_close(close: Close) -> bytes:
    """A client's close frame."""
    code = b"" if close.code is None else close.code.to_bytes(2)
    return _client_frame(CLOSE, code + close.reason.encode())


def _client_frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = bytes([0x80 | 126]) + length.to_bytes(2)
    else:
        size = bytes([0x80 | 127]) + length.to_bytes(8)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload
