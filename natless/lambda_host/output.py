"""What a process prints, as lines: bounded in length, with secrets blotted out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

# CloudWatch Logs takes events of up to 262,144 bytes (AWS CloudWatch Logs quotas)
MAX_LINE_BYTES = 256 * 1024
_READ_BYTES = 64 * 1024
_SECRET_WORDS = ("SECRET", "TOKEN", "PASSWORD", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY")
_SHORTEST_SECRET = 8  # shorter values would blot out ordinary words


class Stream(StrEnum):
    """Where a line was printed."""

    STDOUT = "stdout"
    STDERR = "stderr"


LineListener = Callable[[Stream, str], None]


class Redactor:
    """Replaces the values of secret environment variables in text."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        values = {value for name, value in environment.items() if is_secret(name)}
        self._values = sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len)[::-1]

    def __call__(self, text: str) -> str:
        """``text`` without the secrets."""
        for value in self._values:
            if value in text:
                text = text.replace(value, "***")
        return text


def is_secret(name: str) -> bool:
    """Whether an environment variable of this name holds something that no log may show."""
    upper = name.upper()
    return any(word in upper for word in _SECRET_WORDS)


async def read_lines(
    reader: asyncio.StreamReader, on_line: Callable[[str], None], *, limit: int = MAX_LINE_BYTES
) -> None:
    """Calls ``on_line`` with every line until the end of the stream.

    A line longer than ``limit`` bytes is cut there and says so; its rest is skipped. A last line
    without newline counts. Empty lines are left out.
    """
    pending = bytearray()
    is_skipping = False
    while block := await reader.read(_READ_BYTES):
        *complete, rest = block.split(b"\n")
        for part in complete:
            if not is_skipping:
                pending += part
                _emit(pending, on_line, limit=limit)
            pending.clear()
            is_skipping = False
        if not is_skipping:
            pending += rest
            if len(pending) > limit:
                _emit(pending, on_line, limit=limit)
                pending.clear()
                is_skipping = True
    _emit(pending, on_line, limit=limit)


def _emit(line: bytearray, on_line: Callable[[str], None], *, limit: int) -> None:
    if len(line) > limit:
        text = line[:limit].decode(errors="replace") + f" [cut after {limit} bytes]"
    else:
        text = line.decode(errors="replace").rstrip("\r")
    if text:
        on_line(text)


class Tail:
    """The last bytes of a log, as ``LogType=Tail`` returns them (4 KB)."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._bytes = bytearray()

    def add(self, lines: Iterable[str]) -> None:
        """Appends lines and forgets what no longer fits."""
        for line in lines:
            self._bytes += line.encode() + b"\n"
        del self._bytes[: -self._limit]

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)
