"""The client's half of a transcript, said again; the relay's half, compared."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.golden import wire
from tests.golden.signing import find_signed, sign
from tests.golden.transcript import Bindings, Line, Transcript, close_tokens, mapped

ANSWER_BUDGET = 10.0  # seconds for the relay's next message
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Differs(AssertionError):
    """The relay did not say what it had said to the real client."""


@dataclass(slots=True)
class _Connection:
    streams: Streams
    reader: wire.Reader = field(default_factory=wire.Reader)
    waiting: deque[wire.Message] = field(default_factory=deque)

    async def next_message(self) -> wire.Message:
        while not self.waiting:
            data = await asyncio.wait_for(self.streams[0].read(1 << 16), ANSWER_BUDGET)
            if not data:
                raise Differs("the relay closed the connection")
            self.waiting.extend(self.reader.feed(data))
        return self.waiting.popleft()


async def replay(
    lines: Iterable[Line],
    *,
    connect: Callable[[], Awaitable[Streams]],
    stop: Callable[[], Coroutine[Any, Any, None]],
    start: Callable[[], Awaitable[None]],
    known: dict[str, str],
    secret: str,
) -> int:
    """Says the client's lines and checks the relay's.

    Args:
        lines: a transcript.
        connect: opens a connection to the relay.
        stop: lets the relay drain, and returns when it has ended.
        start: starts another one.
        known: what placeholders stand for here, such as ``api-key`` and ``jwt``.
        secret: signs again what a client had signed.

    Returns:
        How many of the relay's lines were compared.

    Raises:
        Differs: the relay said something else, with the number of the line.
        TimeoutError: it said nothing.
    """
    now = datetime.now(UTC)
    bindings = Bindings(known)
    bindings |= {"date": now.strftime("%Y%m%dT%H%M%SZ"), "day": now.strftime("%Y%m%d")}
    bindings["epoch"] = str(int((now + timedelta(days=300)).timestamp()))  # a key's expiry
    connections: dict[int, _Connection] = {}
    compared = 0
    try:
        for number, line in enumerate(lines, 1):
            if line.get("relay") == "stops":
                stopping = asyncio.ensure_future(stop())
                continue
            if line.get("relay") == "starts":
                await stopping
                await start()
                continue
            if line["connection"] not in connections:
                connections[line["connection"]] = _Connection(await connect())
            connection = connections[line["connection"]]
            if line["from"] == "client":
                connection.streams[1].write(_spoken(line, bindings, secret))
                with contextlib.suppress(ConnectionError):
                    await connection.streams[1].drain()
            else:
                try:
                    _compare(line, await connection.next_message(), bindings)
                except (Differs, TimeoutError) as error:
                    raise type(error)(f"line {number}: {error or 'no answer'}") from None
                compared += 1
    finally:
        for connection in connections.values():
            connection.streams[1].close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await connection.streams[1].wait_closed()
    return compared


def _compare(line: Line, message: wire.Message, bindings: Bindings) -> None:
    said = Transcript()
    said.observe(line["connection"], "relay", message)
    (actual,) = said.lines
    if actual.keys() != line.keys():
        raise Differs(f"expected {_shown(line)}, got {_shown(actual)}")
    for key, expected in line.items():
        value = actual[key]
        if key == "headers":
            pairs = list(zip(sorted(expected), sorted(value), strict=False))
            same = len(expected) == len(value) and all(bindings.matches(*pair) for pair in pairs)
        elif isinstance(expected, str):
            same = bindings.matches(expected, value)
        else:
            same = expected == value
        if not same:
            raise Differs(f"expected {key} {_shown(expected)}, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 1000 else text[:1000] + "…"


def _spoken(line: Line, bindings: Bindings, secret: str) -> bytes:
    if "close" in line:
        return wire.encode_close(wire.Close(line["close"], line["reason"]))
    line = mapped(line, bindings.filled)
    if (operation := find_signed(line)) is not None:
        signature, body_hash = sign(operation, secret=secret)
        line = mapped(
            line,
            lambda text: text.replace("<signature>", signature).replace("<body-sha256>", body_hash),
        )
    line = mapped(line, close_tokens)
    return wire.encode_text(line["text"]) if "text" in line else _request(line)


def _request(line: Line) -> bytes:
    body = line.get("body", "").encode()
    headers = list(line["headers"])
    if any(header.startswith("upgrade: ") for header in headers):
        headers += ["connection: Upgrade", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="]
    else:
        headers.append(f"content-length: {len(body)}")
    return "\r\n".join([line["request"], *headers, "", ""]).encode() + body
