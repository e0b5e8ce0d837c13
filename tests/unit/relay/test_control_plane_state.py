from __future__ import annotations

import sqlite3
import stat

import pytest

from relay.control.book import Book, Draft
from relay.control.state import Change, MemoryStore, Record, SqliteStore, StateUnusable


@pytest.fixture
def opened():
    """Opens stores and closes them afterwards."""
    stores = []

    def open_store(path) -> SqliteStore:
        stores.append(SqliteStore(path))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def put(number, key, document, kind="api"):
    return Change(number, kind, key, document)


def test_memory_keeps_nothing():
    store = MemoryStore()
    store.write([put(1, "a", {})])
    assert list(store.load()) == []
    store.close()


def test_what_was_written_is_there_after_closing(opened, tmp_path):
    store = opened(tmp_path / "state.db")
    store.write([put(1, "a", {"x": "é\ud800"}), put(2, "b", {}, "key")])
    store.write([put(1, "a", {"x": 2})])
    store.write([put(0, "b", None, "key"), put(3, "c", {})])
    store.close()
    again = opened(tmp_path / "state.db")
    assert again.load() == [Record(1, "api", "a", {"x": 2}), Record(3, "api", "c", {})]


def test_changes_are_written_all_or_none(opened, tmp_path):
    store = opened(tmp_path / "state.db")
    store.write([put(1, "a", {})])
    with pytest.raises(StateUnusable):
        store.write([put(2, "b", {}), put(1, "other", {})])  # the number is taken
    assert [record.key for record in store.load()] == ["a"]
    with pytest.raises(TypeError):
        store.write([put(2, "b", {}), put(3, "c", {"x": object()})])
    assert [record.key for record in store.load()] == ["a"]
    store.write([put(2, "b", {})])


def test_a_file_has_one_user_at_a_time(opened, tmp_path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **more: connect(*args, **more | {"timeout": 0})
    )
    opened(tmp_path / "state.db").write([put(1, "a", {})])
    with pytest.raises(StateUnusable, match="locked") as caught:
        SqliteStore(tmp_path / "state.db")
    assert "another relay" in caught.value.hint


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StateUnusable):
        SqliteStore(path)


def test_a_file_of_another_version_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StateUnusable, match="99"):
        SqliteStore(path)
    assert path.read_bytes()[100:] == before[100:]


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StateUnusable, match="nowhere"):
        SqliteStore(tmp_path / "nowhere" / "state.db")


def test_only_the_owner_may_read_the_file(opened, tmp_path):
    opened(tmp_path / "state.db").write([put(1, "a", {})])
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_record_that_is_no_json_is_refused(opened, tmp_path):
    store = opened(tmp_path / "state.db")
    store._connection.execute("INSERT INTO records VALUES (1, 'api', 'a', '{')")
    with pytest.raises(StateUnusable):
        store.load()


def test_a_draft_shows_its_changes_and_the_book_does_not():
    book = Book([Record(1, "api", "a", {"n": 1}), Record(2, "api", "b", {"n": 2})])
    draft = Draft(book)
    draft.put("api", "a", {"n": 3})
    draft.put("api", "c", {"n": 4})
    draft.delete("api", "b")
    assert draft.get("api", "a") == {"n": 3}
    assert draft.get("api", "b") is None
    assert [(one.number, one.key) for one in draft.all("api")] == [(1, "a"), (3, "c")]
    assert book.get("api", "a").document == {"n": 1}
    book.apply(draft.changes)
    assert [(one.number, one.document["n"]) for one in book.all("api")] == [(1, 3), (3, 4)]
    assert book.next_number == 4


def test_a_record_that_is_deleted_and_put_again_in_one_draft_keeps_its_number():
    draft = Draft(Book([Record(1, "api", "a", {})]))
    draft.delete("api", "a")
    draft.put("api", "a", {"n": 1})
    assert draft.changes == (Change(1, "api", "a", {"n": 1}),)
    draft.put("api", "b", {})
    draft.delete("api", "b")
    draft.put("api", "b", {"n": 2})
    numbers = [change.number for change in draft.changes]
    assert len(set(numbers)) == 2
    assert 0 not in numbers


def test_listings_are_of_one_owner():
    draft = Draft(Book([Record(1, "key", "a/x", {}), Record(2, "key", "ab/x", {})]))
    draft.put("key", "a/y", {})
    assert [one.key for one in draft.all("key", under="a/")] == ["a/x", "a/y"]
