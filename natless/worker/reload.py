"""Notices that the developer has saved a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

# What changes a Python function: the list of SST's own watcher (pkg/runtime/python).
_SUFFIXES = (".py", ".toml", ".lock", ".cfg")
_NAMES = ("requirements.txt",)


@dataclass(frozen=True, slots=True)
class Edit:
    """A burst of changes that belongs together.

    Attributes:
        files: what changed, relative to the watched folder, sorted.
        saved: seconds since 1970 at which the last of them was saved; where a file is gone, when
            that was noticed.
        noticed: monotonic seconds.
    """

    files: tuple[str, ...]
    saved: float
    noticed: float


class SourceFilter(DefaultFilter):
    """Lets source files through: a handler that writes data beside its code is not reloaded."""

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change of ``path`` matters."""
        name = Path(path).name
        is_source = name.endswith(_SUFFIXES) or name in _NAMES
        return is_source and super().__call__(change, path)


async def watch_folder(folder: Path, *, quiet: float) -> AsyncIterator[Edit]:
    """Yields every edit below ``folder`` until cancelled.

    Args:
        folder: what to watch, with everything below it.
        quiet: seconds without a change that end a burst.
    """
    step = max(1, round(quiet * 1000))
    watch = awatch(folder, watch_filter=SourceFilter(), debounce=step * 20, step=step)
    async for changes in watch:
        paths = {Path(path) for _, path in changes}
        yield describe_edit(folder, paths, wall=time.time(), now=time.monotonic())


def describe_edit(folder: Path, paths: set[Path], *, wall: float, now: float) -> Edit:
    """The edit that changed ``paths``, noticed at ``wall`` (since 1970) and ``now`` (monotonic)."""
    times = []
    for path in paths:
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    root = folder.resolve()
    names = [p.relative_to(root) if p.is_relative_to(root) else p for p in paths]
    return Edit(
        files=tuple(sorted(str(name) for name in names)),
        saved=max(times, default=wall),
        noticed=now,
    )
