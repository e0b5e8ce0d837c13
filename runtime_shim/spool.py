"""Events kept in files until somebody looks after them: bounded, and on the disk before it is said.

::

    <directory>/<request id>.json
    {"v":1,"requestId":…,"kept":…,"reason":…,"headers":{…},"event":…}

An event is text if it is UTF-8, else ``eventBase64``. The files hold what the function was sent:
their mode is 0600 and the directory's 0700.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path


class SpoolFull(Exception):
    """The event would not fit any more."""


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
