"""What is a run's own, what a dead run has left, and what is nobody's business."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from natless import run_directory
from natless.run_directory import MARK, find_leftovers, open_run_directory, remove_leftovers


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["/usr/bin/natless", "dev", "--api-key", "secret"])
    return tmp_path


def leave_one(name: str = "natless-dead", *, mark: str | None = None) -> Path:
    """What ``kill -9`` leaves: everything but the lock."""
    with open_run_directory() as run:
        said = (run / MARK).read_text()
    home = Path(tempfile.gettempdir()) / name
    (home / "task").mkdir(parents=True)
    (home / "task" / "handler.py").write_text("secret = 1")
    (home / "server-key.pem").write_text("secret")
    (home / MARK).write_text(said if mark is None else mark)
    return home


def test_a_run_that_ends_leaves_nothing(folder: Path) -> None:
    with open_run_directory() as run:
        (run / "task").mkdir()
        (run / "task" / "handler.py").touch()
        (run / "server-key.pem").touch()
        assert run.parent == folder
        assert run.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


def test_a_run_that_fails_leaves_nothing(folder: Path) -> None:
    def fail() -> None:
        with open_run_directory() as run:
            (run / "server-key.pem").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(folder.iterdir()) == []


def test_the_next_run_removes_what_a_killed_one_has_left() -> None:
    dead = leave_one()
    with open_run_directory():
        assert not dead.exists()


def test_what_is_left_can_be_named_without_removing_it() -> None:
    dead = leave_one()
    (found,) = find_leftovers()
    assert (found.path, found.command, found.pid) == (dead, "natless dev", os.getpid())
    assert (dead / "server-key.pem").exists()
    assert remove_leftovers() == (found,)
    assert find_leftovers() == ()


def test_a_run_that_lives_is_not_touched() -> None:
    with open_run_directory() as run:
        (run / "server-key.pem").touch()
        assert find_leftovers() == ()
        assert remove_leftovers() == ()
        with open_run_directory():
            assert (run / "server-key.pem").exists()


def test_arguments_are_not_written_down() -> None:
    with open_run_directory() as run:
        assert "secret" not in (run / MARK).read_text()
        assert json.loads((run / MARK).read_text())["command"] == "natless dev"


@pytest.mark.parametrize("mark", ["", "no JSON", "{}", "[]", '{"pid": "x", "command": ""}'])
def test_a_mark_that_is_not_ours_protects_its_folder(mark: str) -> None:
    other = leave_one(mark=mark)
    assert remove_leftovers() == ()
    assert (other / "server-key.pem").exists()


def test_a_folder_without_a_mark_is_not_ours(folder: Path) -> None:
    (folder / "natless-of-mine").mkdir()
    (folder / "natless-of-mine" / "thesis").touch()
    assert remove_leftovers() == ()
    assert (folder / "natless-of-mine" / "thesis").exists()


def test_a_folder_with_another_name_is_not_ours() -> None:
    other = leave_one("something-else")
    assert remove_leftovers() == ()
    assert other.exists()


def test_somebody_elses_folder_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = leave_one()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert remove_leftovers() == ()
    assert theirs.exists()


def test_links_lead_nowhere(folder: Path) -> None:
    dead = leave_one()
    precious = folder / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (dead / "link").symlink_to(precious)
    (dead / "task" / "link").symlink_to(precious / "file")
    (folder / "natless-link").symlink_to(precious)
    (precious / MARK).symlink_to(dead / MARK)
    remove_leftovers()
    assert not dead.exists()
    assert (precious / "file").exists()


def test_a_copy_of_a_read_only_folder_is_removed_as_well(folder: Path) -> None:
    dead = leave_one()
    (dead / "task").chmod(0o500)
    remove_leftovers()
    assert list(folder.iterdir()) == []


def test_without_locks_a_run_works_and_is_never_swept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        run = open_run_directory()
        path = run.__enter__()
    assert list(path.iterdir()) == []
    assert remove_leftovers() == ()
    run.__exit__(None, None, None)
    assert list(folder.iterdir()) == []


def test_who_is_killed_while_removing_leaves_what_can_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = leave_one()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run_directory.shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            remove_leftovers()
    assert (dead / MARK).exists()
    remove_leftovers()
    assert not dead.exists()
