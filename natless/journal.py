"""The journal: one append-only stream of facts, read by the terminal, the report and the tests.

One JSON object a line::

    {"at": 12.345678, "source": "relay", "kind": "relay.connection.opened", "peer": …}

``at`` is monotonic seconds of this machine, the same clock in every process of a run. The first
line of a file is the fact ``journal.opened`` with the wall-clock time, so that a reader can turn
the others into dates. Kinds follow one vocabulary: ``<room>.<phase>.started|complete|failed`` and
``<room>.<noun>.<verb>``. Secrets are redacted by whoever records a fact, never by a reader.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, at a monotonic time, said by one source."""

    at: float
    source: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The fact as one line without its newline."""
        head = {"at": round(self.at, 6), "source": self.source, "kind": self.kind}
        return json.dumps(head | dict(self.data), separators=(",", ":"), default=str)


Listener = Callable[[Fact], None]


class Journal:
    """Takes facts and hands each to its listeners, then to the file if there is one.

    It keeps nothing in memory: who needs past facts listens from the start.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._listeners: list[Listener] = []
        self.record("journal.opened", source="journal", wall=datetime.now(UTC).isoformat())

    @classmethod
    @contextmanager
    def to_file(cls, path: Path) -> Iterator[Journal]:
        """A journal that writes each fact to ``path`` at once; an older file is replaced."""
        with path.open("w", encoding="utf-8", buffering=1) as stream:
            yield cls(stream)

    def listen(self, listener: Listener) -> None:
        """Calls ``listener`` with every later fact, in order."""
        self._listeners.append(listener)

    def record(self, kind: str, *, source: str, at: float | None = None, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        """Appends one fact; ``at`` defaults to now."""
        fact = Fact(time.monotonic() if at is None else at, source, kind, data)
        for listener in self._listeners:
            listener(fact)
        if self._stream is not None:
            self._stream.write(fact.to_json() + "\n")
