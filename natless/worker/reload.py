"""Notices that the developer has saved a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from watchfiles import DefaultFilter, awatch

from natless.runtimes import Code
from natless.runtimes.node import SCRIPTS, TYPED

_CODE = frozenset({".py", *SCRIPTS, *TYPED, ".jsx"})


@dataclass(frozen=True, slots=True)
class Edit:
    """Changes of one function's source that belong together.

    Attributes:
        files: what changed, relative to the function's folder, sorted.
        saved: seconds since 1970 at which the last of them was saved; where a file is gone, when
            that was noticed.
        noticed: monotonic seconds.
    """

    files: tuple[str, ...]
    saved: float
    noticed: float

    @property
    def is_code_alone(self) -> bool:
        """Whether nothing changed that says which packages there are, such as a lock file."""
        return all(Path(name).suffix in _CODE for name in self.files)


@dataclass(frozen=True, slots=True)
class Burst:
    """What changed in the folders that are watched, within a short time.

    Attributes:
        paths: of files, resolved.
        wall: seconds since 1970 at which it was noticed.
        now: the same in monotonic seconds.
    """

    paths: frozenset[Path]
    wall: float
    now: float

    def edit_of(self, code: Code) -> Edit | None:
        """The part that is source of ``code``; None if there is none.

        A handler that writes data beside its code is not reloaded for that.
        """
        root = code.folder.resolve()
        mine = [path for path in self.paths if path.is_relative_to(root)]
        source = [path for path in mine if code.runtime.is_source(path, root)]
        if not source:
            return None
        times = []
        for path in source:
            with contextlib.suppress(OSError):
                times.append(path.stat().st_mtime)
        return Edit(
            files=tuple(sorted(str(path.relative_to(root)) for path in source)),
            saved=max(times, default=self.wall),
            noticed=self.now,
        )


class SourceFilter(DefaultFilter):
    """Keeps out what editors, tools and package managers write."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, "venv")


async def watch_folders(folders: Iterable[Path], *, quiet: float) -> AsyncIterator[Burst]:
    """Yields what changes in ``folders``, with everything below them, until cancelled.

    Args:
        folders: what to watch.
        quiet: seconds without a change that end a burst.
    """
    step = max(1, round(quiet * 1000))
    watch = awatch(*folders, watch_filter=SourceFilter(), debounce=step * 20, step=step)
    async for changes in watch:
        paths = frozenset(Path(path) for _, path in changes)
        yield Burst(paths, wall=time.time(), now=time.monotonic())
