"""What the relay did, as facts: one JSON object a line, ``at`` in monotonic seconds.

The shape is the one that the rest of the project reads: ``{"at":…,"source":"relay","kind":…,…}``.
Kinds:

- ``relay.ready`` {label, namespaces, pid}; ``relay.drained`` {connections, aborted, seconds}
- ``relay.connection.opened`` {connection, peer, transport: realtime|http, tls, api}
- ``relay.connection.denied`` {connection, error_type, code}
- ``relay.connection.closed`` {connection, peer, transport, code, reason, seconds, received,
  delivered, lost}: events accepted from it, handed to its socket, and handed over but never sent
- ``relay.reload.complete`` / ``relay.reload.failed`` {message}
- ``relay.journal.dropped`` {count}: the reader was too slow for this many facts

Nobody writes a credential into a fact.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

import msgspec

QUEUE_COUNT = 10_000  # facts that may wait for a slow reader
CLOSE_BUDGET = 2.0  # seconds that a reader has to take the rest when the relay ends


class Journal(Protocol):
    """Takes facts."""

    def record(self, kind: str, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        """Notes one fact, now."""


class NoJournal:
    """Forgets every fact."""

    def record(self, kind: str, **data: Any) -> None:  # noqa: ANN401
        """Does nothing."""


class MemoryJournal:
    """Keeps facts in a list, for tests."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, Mapping[str, Any]]] = []

    def record(self, kind: str, **data: Any) -> None:  # noqa: ANN401
        """Keeps the fact."""
        self.facts.append((kind, data))

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        """The data of every fact of this kind, in order."""
        return [data for one, data in self.facts if one == kind]


class LineJournal:
    """Writes each fact as one line, from a thread of its own.

    A pipe whose reader sleeps would otherwise stop the whole relay. At most :data:`QUEUE_COUNT`
    facts wait; later ones are counted and the count is written when the reader is back.
    """

    def __init__(self, stream: TextIO, *, now: Callable[[], float]) -> None:
        self._stream = stream
        self._now = now
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def record(self, kind: str, **data: Any) -> None:  # noqa: ANN401
        """Notes one fact, now."""
        if self._queue.qsize() >= QUEUE_COUNT:
            self._dropped += 1
            return
        if self._dropped:
            self._queue.put(self._line("relay.journal.dropped", count=self._dropped))
            self._dropped = 0
        self._queue.put(self._line(kind, **data))

    def close(self) -> None:
        """Writes what waits, for at most :data:`CLOSE_BUDGET` seconds."""
        self._queue.put(None)
        self._thread.join(CLOSE_BUDGET)

    def _line(self, kind: str, **data: Any) -> str:  # noqa: ANN401
        head = {"at": round(self._now(), 6), "source": "relay", "kind": kind}
        try:
            return _encode(head | data).decode() + "\n"
        except UnicodeEncodeError:  # half a surrogate pair, as the names of odd files have
            return json.dumps(head | data, separators=(",", ":"), default=str) + "\n"

    def _write(self) -> None:
        try:
            while (line := self._queue.get()) is not None:
                self._stream.write(line)
                if self._queue.empty():
                    self._stream.flush()
            self._stream.flush()
        except (OSError, ValueError):  # the reader is gone; nobody is left to be told
            return


_encode = msgspec.json.Encoder(enc_hook=str).encode
