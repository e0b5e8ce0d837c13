"""Tells what is being done while it is done: to a person, to a log, to an editor, or to nobody.

::

    with progress.step("relay: the AppSync Events channel") as step:
        step.say("certificate")             # what it is at right now
        …                                   # leaving by an exception: failed; else: done
    progress.warn("no IPv6 here")

Everything goes to standard error, so that standard output carries the result and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from natless.measure.durations import humanize

Clock = Callable[[], float]


class Step:
    """A part of the work that is under way; made by :meth:`Progress.step`."""

    def __init__(self, progress: Progress, title: str) -> None:
        self.title = title
        self._progress = progress

    def say(self, text: str) -> None:
        """Says what the step is at: ``12 of 20 calls``. Meant to be overwritten by the next one."""
        with suppress(OSError):
            self._progress._on_said(self, text)


class Progress(ABC):
    """What a command tells about its work; each way of telling implements the four ``_on_``.

    The work goes on, and ends in order, when nobody can be told: the terminal may have been closed.
    """

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A stretch of work with a name; it is done or failed when the block is left."""
        step = Step(self, title)
        started = self._clock()
        is_done = False
        with suppress(OSError):
            self._on_started(step)
        try:
            yield step
            is_done = True
        finally:
            with suppress(OSError):
                self._on_ended(step, self._clock() - started, is_done=is_done)

    @abstractmethod
    def warn(self, text: str) -> None:
        """Something that a user should know, and that does not stop the work."""

    @abstractmethod
    def _on_started(self, step: Step) -> None: ...

    @abstractmethod
    def _on_said(self, step: Step, text: str) -> None: ...

    @abstractmethod
    def _on_ended(self, step: Step, seconds: float, *, is_done: bool) -> None: ...


class SilentProgress(Progress):
    """Tells nobody."""

    def warn(self, text: str) -> None:
        """Drops it."""

    def _on_started(self, step: Step) -> None:
        pass

    def _on_said(self, step: Step, text: str) -> None:
        pass

    def _on_ended(self, step: Step, seconds: float, *, is_done: bool) -> None:
        pass


class PlainProgress(Progress):
    """One line for each step that ended: for logs and pipes."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._stream = stream

    def warn(self, text: str) -> None:
        """One line, marked."""
        self._write(f"warning: {text}")

    def _on_started(self, step: Step) -> None:
        pass

    def _on_said(self, step: Step, text: str) -> None:
        pass

    def _on_ended(self, step: Step, seconds: float, *, is_done: bool) -> None:
        self._write(f"{'done' if is_done else 'FAILED'}: {step.title} ({humanize(seconds)})")

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class JsonProgress(Progress):
    """One JSON object a line: ``{"event":"step.done","step":…,"seconds":…}``."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._stream = stream

    def warn(self, text: str) -> None:
        """The event ``warning``."""
        self._write("warning", text=text)

    def _on_started(self, step: Step) -> None:
        self._write("step.started", step=step.title)

    def _on_said(self, step: Step, text: str) -> None:
        self._write("step.said", step=step.title, text=text)

    def _on_ended(self, step: Step, seconds: float, *, is_done: bool) -> None:
        event = "step.done" if is_done else "step.failed"
        self._write(event, step=step.title, seconds=round(seconds, 3))

    def _write(self, event: str, **data: str | float) -> None:
        line = json.dumps({"event": event, **data}, separators=(",", ":"), ensure_ascii=False)
        print(line, file=self._stream, flush=True)


class RichProgress(Progress):
    """A spinner for what is under way and a ticked line for what is done: for people."""

    def __init__(self, console: Console, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._console = console
        self._open: list[tuple[Step, str]] = []
        self._status: Status | None = None

    def warn(self, text: str) -> None:
        """One line above the spinner."""
        self._console.print(f"[yellow]![/] {escape(text)}")

    def _on_started(self, step: Step) -> None:
        self._open.append((step, ""))
        self._show()

    def _on_said(self, step: Step, text: str) -> None:
        self._open = [(s, text if s is step else said) for s, said in self._open]
        self._show()

    def _on_ended(self, step: Step, seconds: float, *, is_done: bool) -> None:
        self._open = [(s, said) for s, said in self._open if s is not step]
        self._show()
        mark = "[green]✓[/]" if is_done else "[red]✗[/]"
        self._console.print(f"{mark} {escape(step.title)} [dim]{humanize(seconds)}[/]")

    def _show(self) -> None:
        """The spinner shows the innermost open step, and is gone when none is open."""
        if not self._open:
            if self._status is not None:
                self._status.stop()
                self._status = None
            return
        step, said = self._open[-1]
        text = escape(step.title) + (f" [dim]{escape(said)}[/]" if said else "")
        if self._status is None:
            self._status = self._console.status(text, spinner="dots")
            self._status.start()
        else:
            self._status.update(text)


def choose_progress(
    stream: TextIO | None = None, *, json_lines: bool = False, silent: bool = False
) -> Progress:
    """The way of telling that suits who reads ``stream``, standard error by default.

    A person at a terminal gets a spinner; ``TERM=dumb`` and everything that is no terminal gets
    plain lines. Colour follows ``NO_COLOR``.
    """
    stream = sys.stderr if stream is None else stream
    if silent:
        return SilentProgress()
    if json_lines:
        return JsonProgress(stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return RichProgress(Console(file=stream, highlight=False))
    return PlainProgress(stream)
