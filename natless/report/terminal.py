"""The report in a terminal: the comparison as a table, each failing row with its verdict below.

Three layouts, chosen by the width at hand::

    wide      topology  promised  seen  p50  p99  answered  by
    compact   topology  seen  p50  p99  answered      and below: promised, by
    narrow    topology, and below it everything else
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from natless.explain.verdict import Certainty, Verdict
from natless.measure.compare import compare
from natless.measure.durations import humanize
from natless.report.document import RunDocument, TopologyRun

TEXT_WIDTH = 100  # a verdict is prose: longer lines are hard to read, also where there is room

FILE_WIDTH = 120  # columns of a log or a pipe

_MARGIN = 2
_GAP = 2
_WIDE = ("topology", "promised", "seen", "p50", "p99", "answered", "by")
_COMPACT = ("topology", "seen", "p50", "p99", "answered")
_NUMBERS = frozenset({"p50", "p99", "answered"})
_WORTH_SAYING = 3.0  # a topology that takes less than three times the fastest needs no sentence


class TerminalReport:
    """A run as something that rich can print: ``console.print(TerminalReport(document))``."""

    def __init__(self, document: RunDocument) -> None:
        self._document = document

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lays the report out for the width at hand."""
        width = options.max_width
        topologies = self._document.topologies
        columns = _choose_columns(topologies, width)
        widths = _measure_columns(topologies, columns or ())
        if columns is not None:
            yield _line(dict.fromkeys(columns), widths, {}, heading=True)
        for topology in topologies:
            if columns != _WIDE and topology is not topologies[0]:
                yield Text("")
            yield from _rows(topology, columns, widths)
            for text, indent in _remarks(topology):
                yield from _wrap(text, console, width=min(width, TEXT_WIDTH), indent=indent)
        yield Text("")
        for text in _conclusions(self._document):
            yield from _wrap(text, console, width=min(width, TEXT_WIDTH), indent=0)


def print_run(
    document: RunDocument, *, report: Path | None = None, stream: TextIO | None = None
) -> None:
    """Prints a run, and where its HTML report is, to standard output or ``stream``.

    Colour is for terminals only, and never when ``NO_COLOR`` is set. What is no terminal has no
    width of its own and gets the whole table, unless ``COLUMNS`` says otherwise.
    """
    stream = stream or sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else FILE_WIDTH
    console = Console(file=stream, width=width, highlight=False)
    console.print(TerminalReport(document))
    if report is not None:
        # A path is for copying: it stays whole, whatever the width.
        console.print(Text(f"report: {report}"), soft_wrap=True)


def _cells(topology: TopologyRun) -> dict[str, str]:
    latency = topology.latency
    return {
        "topology": topology.name,
        "promised": topology.promised,
        "seen": topology.seen,
        "p50": humanize(latency.p50) if latency.count else "-",
        "p99": humanize(latency.p99) if latency.count else "-",
        "answered": f"{topology.answered}/{topology.total}",
        "by": topology.by_text,
    }


def _measure_columns(topologies: Iterable[TopologyRun], columns: Iterable[str]) -> dict[str, int]:
    rows = [_cells(topology) for topology in topologies]
    return {name: max(len(name), *(len(row[name]) for row in rows), 0) for name in columns}


def _choose_columns(topologies: tuple[TopologyRun, ...], width: int) -> tuple[str, ...] | None:
    """The richest table that fits; None when not even the compact one does."""
    for columns in (_WIDE, _COMPACT):
        widths = _measure_columns(topologies, columns)
        if _MARGIN + sum(widths.values()) + _GAP * (len(columns) - 1) <= width:
            return columns
    return None


def _line(
    cells: Mapping[str, str | None],
    widths: Mapping[str, int],
    styles: Mapping[str, str],
    *,
    heading: bool = False,
) -> Text:
    line = Text(" " * _MARGIN)
    for name, width in widths.items():
        cell = name if heading else cells[name] or ""
        aligned = cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
        line.append(aligned, style="bold" if heading else styles.get(name, "")).append(" " * _GAP)
    line.rstrip()
    return line


def _rows(
    topology: TopologyRun, columns: tuple[str, ...] | None, widths: Mapping[str, int]
) -> Iterator[Text]:
    cells = _cells(topology)
    styles = {"topology": "bold", "seen": _style_of(topology)}
    by = f"{cells['answered']} answered by {cells['by']}"
    if columns is None:
        yield Text(" " * _MARGIN).append(cells["topology"], style="bold")
        yield Text(" " * 2 * _MARGIN).append(cells["seen"], style=styles["seen"])
        yield Text(f"{' ' * 2 * _MARGIN}promised: {cells['promised']}")
        yield Text(f"{' ' * 2 * _MARGIN}p50 {cells['p50']}, p99 {cells['p99']}")
        yield Text(f"{' ' * 2 * _MARGIN}{by}")
        return
    yield _line(cells, widths, styles)
    if columns == _COMPACT:
        indent = " " * (_MARGIN + widths["topology"] + _GAP)
        yield Text(f"{indent}promised: {cells['promised']}; by {cells['by']}", style="dim")


def _style_of(topology: TopologyRun) -> str:
    if not topology.kept:
        return "bold red"
    return "green" if topology.verdict.cause == "works" else "yellow"


def _remarks(topology: TopologyRun) -> Iterator[tuple[Text, int]]:
    """What belongs under a row, with its indentation."""
    indent = 2 * _MARGIN
    if not topology.kept:
        for probe in topology.probes:
            if not probe.kept:
                wanted = f"promised {probe.promised}, " if probe.promised else ""
                text = f"probe '{probe.name}': {wanted}saw {probe.seen}"
                yield Text(text, style="bold red"), indent
        yield Text(f"promised '{topology.promised}', saw '{topology.seen}'", "bold red"), indent
    verdict = topology.verdict
    if verdict.works and verdict.cause == "works":
        return
    yield Text(f"{verdict.sentence} ").append(f"[{verdict.cause}]", style="dim"), indent
    for line in verdict.excerpt:
        yield Text(f"| {line}", style="dim"), indent + 2
    for check in _ways_to_tell(verdict):
        yield Text(f"- {check}", style="dim"), indent + 2


def _ways_to_tell(verdict: Verdict) -> Iterable[str]:
    """Where several causes look alike, how to tell them apart belongs beside the verdict."""
    if verdict.certainty is not Certainty.ALIKE:
        return ()
    return (f"{candidate.cause}: {candidate.check}" for candidate in verdict.candidates)


def _wrap(text: Text, console: Console, *, width: int, indent: int) -> Iterator[Text]:
    for line in text.wrap(console, max(20, width - indent)):
        line.rstrip()
        yield Text(" " * indent) + line


def _conclusions(document: RunDocument) -> Iterator[Text]:
    if comparison := compare({t.name: t.latency for t in document.topologies}):
        for name, factor in comparison.factors.items():
            if factor >= _WORTH_SAYING:
                base = comparison.baseline
                yield Text(f"On {name} a caller waits {factor:.0f} times as long as on {base}.")
    if opening := [r.duration for t in document.topologies for r in t.opening_results[:1]]:
        longest = humanize(max(opening))
        yield Text(f"First calls (a cold start each, not counted above) took up to {longest}.")
    broken = ", ".join(t.name for t in document.topologies if not t.kept)
    if broken:
        yield Text(f"Not as promised: {broken}.", style="bold red")
    else:
        yield Text(f"Every topology showed what it promises, on {document.built_of}.", "green")
