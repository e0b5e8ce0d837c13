"""Results as lines of a file, and the table that is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
        line = {
            "shape": result.shape,
            "subject": result.subject,
            "repetition": result.repetition,
            "numbers": result.numbers,
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def has(self, shape: str, subject: str, repetition: int) -> bool:
        """Whether that load was measured before."""
        wanted = (shape, subject, repetition)
        return any((one.shape, one.subject, one.repetition) == wanted for one in self.results)

    def values(self, shape: str, subject: str, key: str) -> dict[int, float]:
        """One number of every repetition."""
        return {
            one.repetition: float(one.numbers[key])
            for one in self.results
            if (one.shape, one.subject) == (shape, subject)
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one shape.

    Attributes:
        ratio: median of the ratios of one repetition each, or the relay's own median.
        lowest: of these ratios; likewise ``highest``.
        effort: median of the ratios of work done in a second of the server's processor, which does
            not depend on who else uses the machine; None where the generator does not tell.
        is_reached: whether that is what it must be.
    """

    shape: Shape
    figure: Figure
    relay: float
    reference: float
    ratio: float
    lowest: float
    highest: float
    effort: float | None

    @property
    def is_reached(self) -> bool:
        """Whether the relay reaches its target."""
        if self.figure.better is Better.HIGHER:
            return self.ratio >= self.figure.target
        return self.ratio <= self.figure.target


def make_rows(tally: Tally, shapes: Iterable[Shape], *, reference: str) -> list[Row]:
    """The figures that were measured on both sides."""
    rows = []
    for shape in shapes:
        for figure in shape.figures:
            ours = tally.values(shape.name, "relay", figure.key)
            theirs = tally.values(shape.name, reference, figure.key)
            pairs = [(ours[n], theirs[n]) for n in sorted(ours.keys() & theirs.keys())]
            if not pairs:
                continue
            ratios = [
                one if figure.is_absolute else one / other if other else 0.0 for one, other in pairs
            ]
            rows.append(
                Row(
                    shape,
                    figure,
                    relay=median(one for one, _ in pairs),
                    reference=median(other for _, other in pairs),
                    ratio=median(ratios),
                    lowest=min(ratios),
                    highest=max(ratios),
                    effort=_compare_effort(tally, shape.name, reference),
                )
            )
    return rows


def _compare_effort(tally: Tally, shape: str, reference: str) -> float | None:
    ours, theirs = (_work_per_second(tally, shape, one) for one in ("relay", reference))
    ratios = [ours[n] / theirs[n] for n in ours.keys() & theirs.keys()]
    return median(ratios) if ratios else None


def _work_per_second(tally: Tally, shape: str, subject: str) -> dict[int, float]:
    """Deliveries (answers, where nobody listens) per second of the server's processor."""
    return {
        one.repetition: (one.numbers["deliv"] or one.numbers["acks"]) / one.numbers["srv_cpu"]
        for one in tally.results
        if (one.shape, one.subject) == (shape, subject) and one.numbers.get("srv_cpu")
    }


def render(rows: Iterable[Row], *, reference: str) -> str:
    """A table of Markdown; ratios are medians, with the range of the repetitions."""
    lines = [
        f"| load | figure | relay | {reference} | ratio | range | target | | per cpu |",
        "|---|---|---:|---:|---:|---|---|---|---:|",
    ]
    for row in rows:
        figure = row.figure
        lines.append(
            f"| {row.shape.name} | {figure.unit} | {_short(row.relay)} | {_short(row.reference)} "
            f"| {row.ratio:.2f} | {row.lowest:.2f} … {row.highest:.2f} "
            f"| {figure.better.value} {figure.target:g} | {'yes' if row.is_reached else 'NO'} "
            f"| {'' if row.effort is None else f'{row.effort:.2f}'} |"
        )
    return "\n".join(lines)


def _short(number: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"
