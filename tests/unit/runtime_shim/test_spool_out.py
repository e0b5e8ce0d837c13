"""How kept events leave the spool: each once, the oldest first, whoever takes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime_shim.spool import LONGEST_FUNCTION, KeptEvent, Spool, encode_event

HERE, THERE = "w" * 32, "v" * 32


def keep(spool: Spool, name: str, *, kept: float, body: bytes = b"{}") -> Path:
    content = encode_event(name, kept=kept, reason="why", headers={"H": "v"}, body=body)
    path = spool.keep(name, content)
    os.utime(path, (kept, kept))
    return path


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", max_bytes=10_000)


def names(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool._directory.iterdir())


def take(spool: Spool, environment: str = HERE) -> KeptEvent:
    event = spool.take(environment)
    assert event is not None
    return event


def test_nothing_is_taken_from_a_spool_that_was_never_used(spool: Spool) -> None:
    assert spool.take(HERE) is None


@pytest.mark.parametrize("body", [b'{"n":1}', b"\xff\x00"])
def test_what_was_kept_is_taken_as_it_came(spool: Spool, body: bytes) -> None:
    keep(spool, "r-1", kept=5.0, body=body)
    event = take(spool)
    assert (event.request_id, event.kept, event.headers, event.body) == (
        "r-1",
        5.0,
        {"H": "v"},
        body,
    )
    assert names(spool) == [f"r-1.{HERE}.sent"]
    spool.finish(event)
    assert names(spool) == []


def test_the_oldest_is_taken_first(spool: Spool) -> None:
    for name, kept in (("b", 2.0), ("c", 3.0), ("a", 1.0)):
        keep(spool, name, kept=kept)
    taken = []
    while (event := spool.take(HERE)) is not None:
        taken.append(event.request_id)
        spool.finish(event)
    assert taken == ["a", "b", "c"]


def test_what_one_environment_took_another_leaves_alone(spool: Spool) -> None:
    keep(spool, "r-1", kept=1.0)
    take(spool)
    assert spool.take(THERE) is None


def test_what_was_left_on_its_way_is_taken_again_by_the_same_environment(spool: Spool) -> None:
    keep(spool, "r-1", kept=1.0)
    assert take(spool).path == take(spool).path


def test_what_an_environment_that_ended_had_taken_is_taken_in_the_end(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(spool, "r-1", kept=1.0)
    path = take(spool).path
    moment = path.lstat().st_ctime
    monkeypatch.setattr("time.time", lambda: moment + LONGEST_FUNCTION - 1)
    assert spool.take(THERE) is None
    monkeypatch.setattr("time.time", lambda: moment + LONGEST_FUNCTION + 1)
    assert take(spool, THERE).request_id == "r-1"


def test_one_that_never_ends_does_not_hold_the_others(spool: Spool) -> None:
    keep(spool, "a", kept=1.0)
    keep(spool, "b", kept=2.0)
    spool.let_others_go_first(take(spool))
    assert take(spool).request_id == "b"


def test_what_cannot_have_arrived_waits_again(spool: Spool) -> None:
    keep(spool, "r-1", kept=1.0)
    spool.put_back(take(spool))
    assert names(spool) == ["r-1.json"]


def test_what_its_handler_refused_is_set_aside_and_still_counts(spool: Spool) -> None:
    keep(spool, "r-1", kept=1.0, body=b"x" * 100)
    spool.set_aside(take(spool))
    assert names(spool) == ["r-1.failed"]
    assert spool.take(HERE) is None


def test_a_file_that_holds_no_event_is_set_aside(spool: Spool) -> None:
    path = keep(spool, "a", kept=1.0)
    path.write_text("no event")
    os.utime(path, (1.0, 1.0))
    keep(spool, "b", kept=2.0)
    assert take(spool).request_id == "b"
    assert "a.failed" in names(spool)
