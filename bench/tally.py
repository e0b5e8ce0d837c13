"""Results as lines of a file, and the figures that are made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.shapes import Better, Figure, Shape


@dataclass(frozen=True, slots=True)
class Result:
    """One load on one server."""

    shape: str
    subject: str
    repetition: int
    numbers: Mapping[str, Any]


class Tally:
    """Keeps results in a file, so that an interrupted run can go on where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results: list[Result] = []
        if path.exists():
            self.results = [Result(**json.loads(line)) for line in path.read_text().splitlines()]

    def add(self, result: Result) -> None:
        """Keeps one more."""
        self.results.append(result)
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def has(self, shape: str, subject: str, repetition: int) -> bool:
        """Whether that load was measured before."""
        wanted = (shape, subject, repetition)
        return any((one.shape, one.subject, one.repetition) == wanted for one in self.results)

    def values(self, shape: str, subject: str, key: str) -> dict[int, float]:
        """One number of every repetition."""
        return {
            one.repetition: float(one.numbers[key])
            for one in self.results
            if (one.shape, one.subject) == (shape, subject) and key in one.numbers
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one shape.

    Attributes:
        relay: median of the relay's own number.
        other: of whom it is compared with, None without one.
        ratio: median of the ratios of one repetition each, or the relay's own median.
        lowest: of these ratios; likewise ``highest``.
        effort: median of the ratios of work done in a second of the server's processor, which does
            not depend on who else uses the machine; None where the generator does not tell.
    """

    shape: Shape
    figure: Figure
    relay: float
    other: float | None
    ratio: float
    lowest: float
    highest: float
    effort: float | None

    @property
    def is_reached(self) -> bool:
        """Whether the relay is where it must be."""
        return self._is_as_good_as(self.figure.target)

    @property
    def is_aimed(self) -> bool:
        """Whether the relay is where it would like to be."""
        return self._is_as_good_as(self.figure.aim)

    def _is_as_good_as(self, wanted: float) -> bool:
        ratio = round(self.ratio, 3)
        return ratio >= wanted if self.figure.better is Better.HIGHER else ratio <= wanted


def make_rows(tally: Tally, shapes: Iterable[Shape]) -> list[Row]:
    """The figures that were measured, and on both sides where there are two."""
    found = (_make_row(tally, shape, figure=figure) for shape in shapes for figure in shape.figures)
    return [row for row in found if row is not None]


def _make_row(tally: Tally, shape: Shape, *, figure: Figure) -> Row | None:
    ours = tally.values(shape.name, "relay", figure.key)
    theirs = (
        ours if figure.against is None else tally.values(shape.name, figure.against, figure.key)
    )
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    if figure.against is None:
        ratios = [ours[n] for n in both]
    else:
        ratios = [ours[n] / theirs[n] if theirs[n] else 0.0 for n in both]
    return Row(
        shape,
        figure,
        relay=median(ours[n] for n in both),
        other=None if figure.against is None else median(theirs[n] for n in both),
        ratio=median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        effort=None if figure.against is None else _compare_effort(tally, shape, figure.against),
    )


def _compare_effort(tally: Tally, shape: Shape, reference: str) -> float | None:
    ours, theirs = (_work_per_second(tally, shape.name, one) for one in ("relay", reference))
    ratios = [ours[n] / theirs[n] for n in ours.keys() & theirs.keys()]
    return median(ratios) if ratios else None


def _work_per_second(tally: Tally, shape: str, subject: str) -> dict[int, float]:
    """Deliveries (answers, where nobody listens) per second of the server's processor."""
    return {
        one.repetition: (one.numbers["deliv"] or one.numbers["acks"]) / one.numbers["srv_cpu"]
        for one in tally.results
        if (one.shape, one.subject) == (shape, subject) and one.numbers.get("srv_cpu")
    }


def render(rows: Iterable[Row]) -> str:
    """A table for the terminal; ratios are medians, with the range of the repetitions."""
    lines = [
        "| load | figure | relay | other | ratio | range | must | aim | | per cpu |",
        "|---|---|---:|---:|---:|---|---|---|---|---:|",
    ]
    for row in rows:
        figure = row.figure
        other = "" if row.other is None else f"{shorten(row.other)} {figure.against}"
        lines.append(
            f"| {row.shape.name} | {figure.unit} | {shorten(row.relay)} | {other} "
            f"| {row.ratio:.2f} | {row.lowest:.2f} … {row.highest:.2f} "
            f"| {figure.better.value} {figure.target:g} | {figure.aim:g} "
            f"| {'yes' if row.is_reached else 'NO'} "
            f"| {'' if row.effort is None else f'{row.effort:.2f}'} |"
        )
    return "\n".join(lines)


def shorten(number: float) -> str:
    """A number in three digits."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"
