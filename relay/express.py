"""Publishes over HTTP that need no second look, answered where their bytes are read.

::

    bytes ── nothing under way, a whole POST /event, plain, publisher known? ── yes ──> one write
                                            │ no
                                            v
                                        aiohttp ──> Relay._answer ──> Reply ──> answered()

aiohttp makes two objects, a task and two turns of the event loop for each request: more than twice
what a publish costs. Whatever is unusual about a request, and every refusal, is left to it; so the
two ways cannot differ in what they refuse. Once aiohttp has a request, it has the connection until
that one is answered and all of its bytes were its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.web_protocol import RequestHandler

from relay.heads import END, HEAD_BYTES, read_fields

HEADS_COUNT = 1024  # heads whose meaning is remembered; a client sends the same ones all the time

# Whoever sends one of these wants something special.
_SPECIAL = frozenset({"transfer-encoding", "expect", "upgrade", "connection", "te", "trailer"})
_SINGLE = frozenset({"host", "content-length", "x-api-key"})


@dataclass(frozen=True, slots=True)
class Head:
    """What a request's head says, as far as it matters here.

    Attributes:
        length: of the body, in bytes.
        is_publish: whether it is a publish with an API key and nothing special about it.
        host: the value of ``Host``.
        key: the value of ``x-api-key``.
    """

    length: int
    is_publish: bool
    host: str
    key: str


def read_head(head: bytes) -> Head | None:
    """Reads the head of a request, its empty line included.

    Returns:
        None where it cannot be told how long the request is, or where anything about it is odd.
    """
    try:
        return _known[head]
    except KeyError:
        if len(_known) >= HEADS_COUNT:
            _known.clear()
        found = _known[head] = _parse(head)
        return found


def _parse(head: bytes) -> Head | None:
    said = read_fields(head)
    if said is None:
        return None
    method, target, written = said
    fields: dict[str, str] = {}
    for name, value in written:
        name = name.lower()
        if name in fields and name in _SINGLE:
            return None
        fields[name] = value
    special = fields.keys() & _SPECIAL
    if special == {"connection"} and fields["connection"].lower() == "keep-alive":
        special = set()
    if special:
        return None
    length = fields.get("content-length", "0")
    if not (length.isdecimal() and len(length) < 10):
        return None
    return Head(
        int(length),
        (method, target) == ("POST", "/event")
        and "content-length" in fields
        and bool(fields.get("x-api-key")),
        fields.get("host", ""),
        fields.get("x-api-key", ""),
    )


_known: dict[bytes, Head | None] = {}


class Express(RequestHandler):
    """aiohttp's side of a connection, with a shorter way for what nearly every publish is.

    Args:
        answer_at_once: the answer to a publish, given its head and body; None leaves it to aiohttp.
        arguments: for aiohttp.
    """

    __slots__ = ("_answer_at_once", "_is_clear", "_left")

    def __init__(
        self,
        *arguments: object,
        answer_at_once: Callable[[Express, Head, bytes], bytes | None],
        **more: object,
    ) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self._answer_at_once = answer_at_once
        self._is_clear = True
        self._left = 0

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent; nothing, when aiohttp calls it to go on with what it has."""
        is_more = not data
        while self._is_clear and data:
            end = data.find(END) + len(END)
            head = read_head(data[:end]) if len(END) <= end <= HEAD_BYTES else None
            size = -1 if head is None else end + head.length
            if head is not None and head.is_publish and size <= len(data):
                answer = self._answer_at_once(self, head, data[end:size])
                transport = self.transport
                if answer is not None and transport is not None:
                    transport.write(answer)
                    data = data[size:]
                    continue
            self._is_clear = False
            self._left = size
        if data or is_more:
            self._left -= len(data)
            super().data_received(data)

    def answered(self, *, keeps_alive: bool) -> None:
        """Notes that aiohttp's way has answered a request completely."""
        if keeps_alive and self._left == 0:
            self._is_clear = True
