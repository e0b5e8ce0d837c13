"""Events kept in files until somebody looks after them: bounded, and on the disk before it is said.

::

    <directory>/<request id>.json                waits
               <request id>.<environment>.sent   is on its way to the developer's side, or was
               <request id>.failed               its handler raised: for the developer to look at
    {"v":1,"requestId":…,"kept":…,"reason":…,"headers":{…},"event":…}

A file that is answered is removed. Who takes one renames it, which only one of several environments
can do. One that its environment left on its way is taken again, by the same environment at once and
by another when no function can still run; the developer's side knows it by its request id. An event
is text if it is UTF-8, else ``eventBase64``. The files hold what the function was sent:
their mode is 0600 and the directory's 0700.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_FUNCTION = 900.0  # seconds; whoever took an event longer ago than this has ended


class SpoolFull(Exception):
    """The event would not fit any more."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event of the spool, taken.

    Attributes:
        path: its file.
        request_id: of the invocation that it came with.
        kept: seconds since 1970.
        headers: the Runtime API's.
        body: the event.
    """

    path: Path
    request_id: str
    kept: float
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Spool:
    """A directory of events.

    Args:
        directory: made when it is needed.
        max_bytes: of all files together; environments that share the directory may exceed it by
            what they write in the same moment.
    """

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    def keep(self, request_id: str, content: bytes) -> Path:
        """Writes an event; it is on the disk when this returns. The same id is written once more.

        Raises:
            SpoolFull: there is no room left within the bound.
            OSError: the directory or the disk does not take it.
        """
        name = re.sub(r"[^A-Za-z0-9-]", "_", request_id)[:120] + ".json"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = sum(_size(each) for each in self._directory.iterdir() if each.name != name)
        if held + len(content) > self._max_bytes:
            raise SpoolFull(f"{held} of {self._max_bytes} bytes are in use")
        path = self._directory / name
        handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_directory(self._directory)
        return path

    def take(self, environment: str) -> KeptEvent | None:
        """The event that waits longest, marked as on its way; None when there is none.

        Args:
            environment: who takes it.
        """
        for path in sorted(self._waiting(environment), key=_age_key):
            taken = path.with_name(f"{path.name.partition('.')[0]}.{environment}.sent")
            try:
                path.rename(taken)
                event = _read_event(taken)
            except OSError:
                continue  # somebody else was faster
            if event is not None:
                return event
            taken.rename(taken.with_name(f"{path.name.partition('.')[0]}.failed"))
        return None

    def finish(self, event: KeptEvent) -> None:
        """It was answered."""
        event.path.unlink(missing_ok=True)
        _sync_directory(self._directory)

    def put_back(self, event: KeptEvent) -> None:
        """It cannot have arrived: it waits again."""
        self._rename(event, "json")

    def set_aside(self, event: KeptEvent) -> None:
        """Its handler raised."""
        self._rename(event, "failed")

    def let_others_go_first(self, event: KeptEvent) -> None:
        """It stays on its way, behind every other: one that never ends must not hold them all."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(event.path)

    def _rename(self, event: KeptEvent, suffix: str) -> None:
        event.path.rename(event.path.with_name(f"{event.path.name.partition('.')[0]}.{suffix}"))
        _sync_directory(self._directory)

    def _waiting(self, environment: str) -> list[Path]:
        try:
            names = list(self._directory.iterdir())
        except OSError:
            return []
        now = time.time()
        return [
            path
            for path in names
            if path.suffix == ".json"
            or path.name.endswith(f".{environment}.sent")
            or (path.suffix == ".sent" and now - _taken(path) > LONGEST_FUNCTION)
        ]


def _age_key(path: Path) -> tuple[float, str]:
    try:
        return path.lstat().st_mtime, path.name
    except OSError:
        return math.inf, path.name  # gone meanwhile


def _taken(path: Path) -> float:
    """Seconds since 1970 at which a file got its name; a name does not change what was written."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return math.inf


def _read_event(path: Path) -> KeptEvent | None:
    """The event in a file; None for one that is none. Raises ``OSError``."""
    try:
        raw = json.loads(path.read_bytes())
        body = raw["event"].encode() if "event" in raw else base64.b64decode(raw["eventBase64"])
        headers = {str(name): str(value) for name, value in raw["headers"].items()}
        return KeptEvent(path, str(raw["requestId"]), float(raw["kept"]), headers, body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def encode_event(
    request_id: str, *, kept: float, reason: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """A file's content; ``kept`` is the wall's clock in seconds."""
    document: dict[str, object] = {
        "v": 1,
        "requestId": request_id,
        "kept": kept,
        "reason": reason,
        "headers": dict(headers),
    }
    try:
        document["event"] = body.decode("utf-8")
    except UnicodeDecodeError:
        document["eventBase64"] = base64.b64encode(body).decode()
    return json.dumps(document).encode() + b"\n"


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # gone meanwhile


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
