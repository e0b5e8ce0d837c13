"""docs/performance.md, its plot, and the sentence in the README: all from one file of results."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import ministack, plot
from bench.disturbance import LIMIT
from bench.shapes import SHAPES
from bench.tally import Result, Row, Tally, make_rows, shorten

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "bench" / "measured.jsonl"
PAGE = ROOT / "docs" / "performance.md"
TEMPLATE = ROOT / "bench" / "performance.template.md"
PLOT = ROOT / "docs" / "performance.svg"
README = ROOT / "README.md"
BEGIN, END = "<!-- written by the bench -->", "<!-- until here -->"
WIDTH = 100  # of a line
UNBROKEN = "\N{NO-BREAK SPACE}"
OTHERS = {"c": "C", "ministack": "MiniStack"}


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that the page is made of.

    Attributes:
        machine: what it was measured on, by name.
        results: of every load, server and repetition.
    """

    machine: Mapping[str, str]
    results: tuple[Result, ...]

    def save(self, path: Path) -> None:
        """Writes one line for the machine and one for each result."""
        lines = [{"machine": dict(self.machine)}, *map(asdict, self.results)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    @classmethod
    def load(cls, path: Path) -> Measured:
        """Reads what :meth:`save` wrote."""
        first, *lines = path.read_text().splitlines()
        results = tuple(Result(**json.loads(line)) for line in lines)
        return cls(json.loads(first)["machine"], results)

    @property
    def rows(self) -> list[Row]:
        """The figures."""
        tally = Tally(Path(os.devnull))
        tally.results = list(self.results)
        return make_rows(tally, SHAPES)


def describe_machine(cores: tuple[int, int]) -> dict[str, str]:
    """What matters of this machine for anybody who measures again."""
    processor = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    compiler = subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True)
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "pinned": f"The server runs on core {cores[0]}, the generator on core {cores[1]}",
        "system": f"Linux {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "compiler": compiler.stdout.strip(),
        "ministack": ministack.version(),
    }


def write(measured: Measured) -> None:
    """Writes the results, the page, the plot and the README's sentence."""
    measured.save(MEASURED)
    PAGE.write_text(render_page(measured))
    PLOT.write_text(render_plot(measured.rows))
    README.write_text(renew_readme(README.read_text(), measured.rows))


def render_plot(rows: Sequence[Row]) -> str:
    """Two panels of bars: against C, and against MiniStack."""
    panels = [("Share of what the C program does", _of(rows, "c"), False)]
    if rivals := _of(rows, "ministack"):
        panels.append(("Times what MiniStack does", rivals, True))
    return plot.draw(
        [(title, [r for r in found if _is_higher(r)], log) for title, found, log in panels]
    )


def renew_readme(text: str, rows: Sequence[Row]) -> str:
    """The README with this sentence between the two marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{render_sentence(rows)}\n{END}{rest.partition(END)[2]}"


def render_sentence(rows: Sequence[Row]) -> str:
    """What the README says about speed."""
    fan = _find(rows, "fan100", "c")
    room = _find(rows, "conn", None)
    parts = [
        f"To 100 subscribers it delivers {shorten(fan.relay)} events a second on one core, "
        f"{fan.ratio:.2f} of what a C program that does nothing else delivers there"
    ]
    if any(row.figure.against == "ministack" for row in rows):
        times = _find(rows, "fan100", "ministack").ratio
        parts.append(f", and {times:.0f} times as many as MiniStack")
    parts.append(f". An idle connection takes {room.relay:.0f} kB")
    parts.append(" ([all figures](docs/performance.md)).")
    return textwrap.fill("".join(parts), WIDTH, break_on_hyphens=False)


def render_page(measured: Measured) -> str:
    """The page."""
    rows, machine = measured.rows, measured.machine
    tables = [_table("The C reference", "c", rows)]
    tables.append(_table(f"MiniStack {machine['ministack']}", "ministack", rows))
    tables.append(_table("The relay by itself", None, rows))
    return TEMPLATE.read_text().format(
        tables="\n".join(tables),
        missed=describe_misses(rows),
        calm=textwrap.fill(describe_calm(measured.results), WIDTH),
        repetitions=max(one.repetition for one in measured.results) + 1,
        **machine,
    )


def _table(title: str, against: str | None, rows: Sequence[Row]) -> str:
    found = _of(rows, against)
    if not found:
        return f"## {title}\n\nNot measured in this run.\n"
    if against is None:
        head = "| Load | What | Figure | Measured (range) | Must be | Aims for | |\n"
        head += "| --- | --- | --- | ---: | ---: | ---: | --- |\n"
    else:
        head = f"| Load | What | Figure | Relay | {OTHERS[against]} | Ratio (range) "
        head += "| Per CPU | Must be | Aims for | |\n"
        head += "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
    return f"## {title}\n\n{head}" + "".join(map(_line, found))


def _line(row: Row) -> str:
    figure = row.figure
    cells = [f"`{row.shape.name}`", row.shape.title, figure.unit]
    if row.other is not None:
        cells += [shorten(row.relay), shorten(row.other)]
    spread = f"{_show(row.ratio)} ({_show(row.lowest)}…{_show(row.highest)})"
    sign = f"{figure.better.value}{UNBROKEN}"
    cells.append(spread)
    if row.other is not None:
        cells.append("" if row.effort is None else _show(row.effort))
    cells += [f"{sign}{figure.target:g}", f"{sign}{figure.aim:g}", _grade(row)]
    return f"| {' | '.join(cells)} |\n"


def _show(number: float) -> str:
    return f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"


def _grade(row: Row) -> str:
    if not row.is_reached:
        return "**missed**"
    return "as aimed" if row.is_aimed else "reached"


def describe_misses(rows: Sequence[Row]) -> str:
    """Which figures are not where they must be, and which not where they might."""
    missed = [row for row in rows if not row.is_reached]
    short = [row for row in rows if row.is_reached and not row.is_aimed]
    text = (
        f"Missed: {_names(missed)}." if missed else "Nothing that the relay must reach was missed."
    )
    if short:
        text += f" Reached, but short of the aim: {_names(short)}."
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def describe_calm(results: Sequence[Result]) -> str:
    """How undisturbed the run was."""
    shares = [one.numbers["foreign"] for one in results if "foreign" in one.numbers]
    if not shares:
        return "Nobody watched what others used of the machine meanwhile."
    loud = sum(share > LIMIT for share in shares)
    limit = f"{LIMIT:.0%} of a core"
    if not loud:
        return f"In none of its {len(shares)} measurements others used more than {limit}."
    return (
        f"In {loud} of its {len(shares)} measurements others used more than {limit}, also when "
        "they were repeated."
    )


def _names(rows: Iterable[Row]) -> str:
    names = (
        f"`{row.shape.name}` ({row.figure.unit}"
        + (f" against {OTHERS[row.figure.against]})" if row.figure.against else ")")
        for row in rows
    )
    return ", ".join(names)


def _of(rows: Sequence[Row], against: str | None) -> list[Row]:
    return [row for row in rows if row.figure.against == against]


def _is_higher(row: Row) -> bool:
    return row.figure.better.value == "≥"


def _find(rows: Sequence[Row], shape: str, against: str | None) -> Row:
    return next(row for row in rows if row.shape.name == shape and row.figure.against == against)


def shapes_in(page: str) -> set[str]:
    """The loads that have a row in a page."""
    return set(re.findall(r"^\| `([\w-]+)` \|", page, flags=re.MULTILINE))
