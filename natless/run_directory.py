"""The folder of one run, and what is left of the folders of runs that were killed.

::

    $TMPDIR/natless-XXXXXXXX/   0700
    ├── .run                    locked as long as the run lives; says who it is
    └── server-key.pem, task/, sockets …

``kill -9`` leaves nobody time to clean up, but the kernel lets go of the lock. So the next run, and
``natless doctor``, can tell what nobody needs any more, whatever process ids say. Without the mark
a folder is none of ours, whatever its name, and nobody touches it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PREFIX = "natless-"
MARK = ".run"


@dataclass(frozen=True, slots=True)
class Leftover:
    """The folder of a run that has ended without removing it.

    Attributes:
        path: where it is.
        command: what was run, in a few words.
        pid: the id that its process had.
    """

    path: Path
    command: str
    pid: int


@contextmanager
def open_run_directory(*, sweep: bool = True) -> Iterator[Path]:
    """A folder of this run, removed when the block ends.

    Its path is short: sockets live in it, and a Unix socket's path has at most 107 bytes.

    Args:
        sweep: also remove what killed runs have left.
    """
    if sweep:
        remove_leftovers()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    mark = _set_mark(path)
    try:
        yield path
    finally:
        _remove(path)
        if mark is not None:
            os.close(mark)


def find_leftovers() -> tuple[Leftover, ...]:
    """The folders that killed runs of this user have left."""
    found = []
    for mark in _find_marks():
        with _dead(mark) as leftover:
            if leftover is not None:
                found.append(leftover)
    return tuple(found)


def remove_leftovers() -> tuple[Leftover, ...]:
    """Removes the folders that killed runs of this user have left; says which."""
    removed = []
    for mark in _find_marks():
        with _dead(mark) as leftover:
            if leftover is not None:
                _remove(leftover.path)
                removed.append(leftover)
    return tuple(removed)


def _find_marks() -> list[Path]:
    return sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{MARK}"))


def _set_mark(directory: Path) -> int | None:
    """Puts the mark there, locked already, so that nobody can take this run for a dead one.

    Returns:
        The descriptor that holds the lock; None on a file system that knows no locks: there the
        folder has no mark, and is never swept.
    """
    hidden = directory / f"{MARK}.new"
    handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        hidden.unlink()
        return None
    said = {"pid": os.getpid(), "command": _name_command()}
    os.write(handle, json.dumps(said).encode())
    hidden.rename(directory / MARK)
    return handle


def _name_command() -> str:
    """The program and its command: arguments may hold secrets, such as ``--api-key``."""
    program = Path(sys.argv[0]).name.replace("__main__.py", "natless")
    words = [program, *sys.argv[1:2]]
    return " ".join(word for word in words if word and not word.startswith("-"))[:80]


@contextmanager
def _dead(mark: Path) -> Iterator[Leftover | None]:
    """The folder with that mark, if its run is dead; nobody else can take it during the block."""
    try:
        handle = os.open(mark, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # somebody else's, or gone meanwhile
        yield None
        return
    try:
        yield _read_mark(handle, mark.parent)
    finally:
        os.close(handle)


def _read_mark(handle: int, directory: Path) -> Leftover | None:
    if not (_is_ours(os.fstat(handle)) and _is_ours(directory.lstat())):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it lives
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        said = json.loads(os.read(handle, 4096))
        return Leftover(directory, str(said["command"]), int(said["pid"]))
    return None


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)


def _remove(directory: Path) -> None:
    """Removes it, the mark last: who is killed in the middle leaves what can still be told.

    What a process of the dead run, which is about to end, still holds on to stays for the next.
    """
    mark = directory / MARK
    _open_folders(directory)
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path != mark:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        if all(path == mark for path in directory.iterdir()):
            mark.unlink(missing_ok=True)
            directory.rmdir()


def _open_folders(directory: Path) -> None:
    """Lets us remove what is in copies of folders that may not be written to."""
    for name, folders, _ in os.walk(directory):
        for folder in folders:
            path = Path(name, folder)
            if not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.chmod(0o700)
