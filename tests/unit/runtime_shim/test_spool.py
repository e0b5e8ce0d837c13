from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runtime_shim.spool import Spool, SpoolFull, encode_event


def test_an_event_becomes_a_file_of_its_own(tmp_path: Path) -> None:
    path = Spool(tmp_path / "a" / "b", max_bytes=100).keep("id-1", b"content")
    assert (path.name, path.read_bytes()) == ("id-1.json", b"content")
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_same_event_is_kept_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=10)
    for _ in range(3):
        spool.keep("id", b"12345678")
    assert [each.name for each in tmp_path.iterdir()] == ["id.json"]


def test_the_bound_is_for_all_files_together(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=10)
    spool.keep("a", b"123456")
    with pytest.raises(SpoolFull):
        spool.keep("b", b"12345")
    spool.keep("c", b"1234")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "c.json"]


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    path = Spool(tmp_path / "spool", max_bytes=10).keep("../../x/y", b"1")
    assert path.parent == tmp_path / "spool"


def test_it_is_on_the_disk_before_its_name_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    replace = Path.replace

    def sync(handle: int) -> None:
        order.append(Path(f"/proc/self/fd/{handle}").readlink().suffix)

    def rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    Spool(tmp_path / "spool", max_bytes=10).keep("id", b"1")
    assert order == [".part", "rename", ""]


def test_a_write_that_fails_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        Spool(tmp_path, max_bytes=10).keep("id", b"1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "member"),
    [(b'{"n":1}', {"event": '{"n":1}'}), (b"\xff", {"eventBase64": "/w=="})],
)
def test_a_file_says_what_it_is_and_why(body: bytes, member: dict[str, str]) -> None:
    content = encode_event("id", kept=7.5, reason="because", headers={"A": "b"}, body=body)
    expected = {"v": 1, "requestId": "id", "kept": 7.5, "reason": "because", "headers": {"A": "b"}}
    assert json.loads(content) == expected | member
