"""All records in memory, and drafts of changes to them.

An operation reads and writes a :class:`Draft`. Its changes are then kept by the store and only
after that put into the :class:`Book`, so that an operation that fails half-way has done nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from relay.control.state import Change, Document, Record


class Book:
    """The records of the moment."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records: dict[str, dict[str, Record]] = {}
        self._highest = 0
        for record in records:
            self._put(record)

    def get(self, kind: str, key: str) -> Record | None:
        """The record of that name, None if there is none."""
        return self._records.get(kind, {}).get(key)

    def all(self, kind: str) -> Iterator[Record]:
        """Every record of a kind, oldest first."""
        return iter(sorted(self._records.get(kind, {}).values(), key=lambda one: one.number))

    @property
    def next_number(self) -> int:
        """The number of the next new record."""
        return self._highest + 1

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes changes that were kept."""
        for change in changes:
            if change.document is None:
                self._records.get(change.kind, {}).pop(change.key, None)
            else:
                self._put(Record(change.number, change.kind, change.key, change.document))

    def _put(self, record: Record) -> None:
        self._records.setdefault(record.kind, {})[record.key] = record
        self._highest = max(self._highest, record.number)


class Draft:
    """Changes that are not made yet, and how the book looks with them.

    Documents are never changed in place: to change one, put another.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._changed: dict[tuple[str, str], Change] = {}
        self._next = book.next_number

    @property
    def changes(self) -> Sequence[Change]:
        """What would have to be kept, in order."""
        return tuple(self._changed.values())

    def get(self, kind: str, key: str) -> Document | None:
        """The document of that name as it would be, None if there would be none."""
        change = self._changed.get((kind, key))
        if change is not None:
            return change.document
        record = self._book.get(kind, key)
        return None if record is None else record.document

    def all(self, kind: str, *, under: str = "") -> Sequence[Record]:
        """Every record of a kind as it would be, oldest first.

        Args:
            kind: the kind.
            under: what the keys begin with, an API's id and a slash.
        """
        found = {one.key: one for one in self._book.all(kind) if one.key.startswith(under)}
        for (changed, key), change in self._changed.items():
            if changed == kind and key.startswith(under):
                if change.document is None:
                    found.pop(key, None)
                else:
                    found[key] = Record(change.number, kind, key, change.document)
        return sorted(found.values(), key=lambda one: one.number)

    def put(self, kind: str, key: str, document: Document) -> None:
        """Puts a document, in place of the one of that name if there is one."""
        known = self._changed.get((kind, key))
        record = self._book.get(kind, key)
        if known is not None and known.document is not None:
            number = known.number
        elif record is not None:
            number = record.number
        else:
            number, self._next = self._next, self._next + 1
        self._changed[kind, key] = Change(number, kind, key, document)

    def delete(self, kind: str, key: str) -> None:
        """Deletes a record; harmless if there is none."""
        self._changed[kind, key] = Change(0, kind, key, None)
