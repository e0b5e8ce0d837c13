"""Where the control plane's records are kept: nowhere, or in one SQLite file.

::

    operation ──changes──> Store.write ──committed──> Book (memory) ──> answer

A change is answered only after it was committed, so a process that is killed loses nothing that
anybody was told. Reads never touch the file.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from relay.errors import RelayError

SCHEMA_VERSION = 1
Document = Mapping[str, Any]


class StateUnusable(RelayError):
    """The state file cannot be used: it is another relay's, of another kind, or not writable."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that exists.

    Attributes:
        number: grows with every record, so that listings have an order and a place to go on.
        kind: ``api``, ``namespace``, ``key``, ``data-source`` or ``domain``.
        key: what it is called among its kind, its API's id first where it belongs to one.
        document: what is known about it, as JSON.
    """

    number: int
    kind: str
    key: str
    document: Document


@dataclass(frozen=True, slots=True)
class Change:
    """A record that is there from now on, or (without a document) no longer."""

    number: int
    kind: str
    key: str
    document: Document | None


class Store(Protocol):
    """Keeps records beyond the process, or does not."""

    def load(self) -> Iterable[Record]:
        """Everything that was kept, in order of number."""

    def write(self, changes: Sequence[Change]) -> None:
        """Keeps all changes or none; blocks until they are safe."""

    def close(self) -> None:
        """Lets the file go."""


class MemoryStore:
    """Keeps nothing beyond the process."""

    def load(self) -> Iterable[Record]:
        """Nothing was kept."""
        return ()

    def write(self, changes: Sequence[Change]) -> None:
        """Nothing to be done."""

    def close(self) -> None:
        """Nothing to let go."""


class SqliteStore:
    """Keeps records in one SQLite file with a write-ahead log beside it.

    The file is locked as long as it is open; two relays cannot share it. It may be used from one
    thread at a time, whichever that is.

    Raises:
        StateUnusable: the file cannot be opened, is in use, or was written by another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # It holds API keys; the log beside it gets the mode of the file.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=1.0
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise self._unusable(error) from error
        except StateUnusable:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("BEGIN IMMEDIATE")
        version = run("PRAGMA user_version").fetchone()[0]
        if version == 0:
            run(
                "CREATE TABLE records (number INTEGER PRIMARY KEY, kind TEXT NOT NULL,"
                " key TEXT NOT NULL, document TEXT NOT NULL, UNIQUE (kind, key))"
            )
            run(f"PRAGMA user_version={SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            run("ROLLBACK")
            raise StateUnusable(
                f"{self._path} was written by another version (format {version})",
                hint="give another --state file",
            )
        run("COMMIT")

    def load(self) -> Iterable[Record]:
        """Everything that was kept, in order of number.

        Raises:
            StateUnusable: the file cannot be read.
        """
        try:
            rows = self._connection.execute(
                "SELECT number, kind, key, document FROM records ORDER BY number"
            ).fetchall()
            return [Record(n, kind, key, json.loads(text)) for n, kind, key, text in rows]
        except (sqlite3.Error, ValueError) as error:
            raise self._unusable(error) from error

    def write(self, changes: Sequence[Change]) -> None:
        """Keeps all changes or none.

        Raises:
            StateUnusable: they could not be kept; nothing has changed.
        """
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    self._write_one(change)
                run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    run("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _write_one(self, change: Change) -> None:
        if change.document is None:
            self._connection.execute(
                "DELETE FROM records WHERE kind = ? AND key = ?", (change.kind, change.key)
            )
            return
        self._connection.execute(
            "INSERT INTO records (number, kind, key, document) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET document = excluded.document",
            (change.number, change.kind, change.key, json.dumps(change.document)),
        )

    def close(self) -> None:
        """Lets the file go; the log beside it is folded in."""
        self._connection.close()

    def _unusable(self, error: Exception) -> StateUnusable:
        return StateUnusable(
            f"the state file {self._path} cannot be used: {error}",
            hint="is another relay running with it? Otherwise give another --state file",
        )
