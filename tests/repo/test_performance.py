"""docs/performance.md, its plot and the README's sentence are what the bench measured and wrote."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import ministack, page
from bench.shapes import SHAPES, Better, Figure, Shape
from bench.tally import Result, Tally, make_rows

ROOT = Path(__file__).parents[2]
MEASURED = page.Measured.load(page.MEASURED)
PAGE = page.PAGE.read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_load_of_the_bench_has_a_row() -> None:
    assert page.shapes_in(PAGE) == {shape.name for shape in SHAPES}
    assert len(MEASURED.rows) == sum(len(shape.figures) for shape in SHAPES)


def test_the_page_and_its_plot_are_made_of_the_committed_results() -> None:
    hint = "run: python -m bench --write"
    assert page.render_page(MEASURED) == PAGE, hint
    assert page.render_plot(MEASURED.rows) == page.PLOT.read_text(encoding="utf-8"), hint


def test_the_readme_says_the_pages_figures_and_no_others() -> None:
    assert page.renew_readme(README, MEASURED.rows) == README, "run: python -m bench --write"
    outside = README.partition(page.BEGIN)[0] + README.partition(page.END)[2]
    assert not re.search(r"events a second|times as (?:many|fast)|MiniStack", outside)
    said = README.partition(page.BEGIN)[2].partition(page.END)[0]
    (deliveries,) = re.findall(r"delivers ([\d.]+[kM])\s+events", said)
    (row,) = re.findall(r"^\| `fan100` .*\| ([\d.]+[kM]) \| [\d.]+[kM] \| ([\d.]+) ", PAGE, re.M)[
        :1
    ]
    assert row[0] == deliveries
    assert f"{row[1]} of what" in " ".join(said.split())


def test_what_was_missed_is_named_and_nothing_else() -> None:
    rows = [
        replace(row, ratio=0.0 if row.figure.better is Better.HIGHER else 1e9)
        if row.shape.name == "fan10"
        else replace(row, ratio=row.figure.aim)
        for row in MEASURED.rows
    ]
    assert page.describe_misses(rows) == "Missed: `fan10` (deliveries/s against C)."
    assert "missed" in page.describe_misses([replace(row, ratio=row.figure.aim) for row in rows])


def test_a_disturbed_run_says_so() -> None:
    results = [Result("fan1", "relay", n, {"foreign": foreign}) for n, foreign in enumerate((0, 1))]
    assert page.describe_calm(results).startswith("In 1 of its 2 measurements others used more")
    assert page.describe_calm(results[:1]).startswith("In none of its 1 measurements")


def test_ministack_is_pinned_in_the_bench_and_needed_by_nothing_else() -> None:
    assert MEASURED.machine["ministack"] == ministack.version()
    for name in ("pyproject.toml", "requirements.lock"):
        assert "ministack" not in (ROOT / name).read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(
    ("better", "ours", "is_reached"),
    [
        (Better.HIGHER, (50.0, 70.0, 90.0), True),
        (Better.HIGHER, (50.0, 69.0, 90.0), False),
        (Better.LOWER, (50.0, 70.0, 90.0), True),
        (Better.LOWER, (50.0, 71.0, 90.0), False),
    ],
)
def test_the_median_of_the_ratios_of_one_repetition_each_decides(
    tmp_path: Path, better: Better, ours: tuple[float, ...], is_reached: bool
) -> None:
    figure = Figure("n", "things/s", 0.7, 0.9, better=better)
    shape = Shape("one", "", "fan", 1, 1, 1, (figure,))
    tally = Tally(tmp_path / "results")
    for repetition, number in enumerate(ours):
        tally.add(Result("one", "relay", repetition, {"n": number}))
        tally.add(Result("one", "c", repetition, {"n": 100.0}))
    tally.add(Result("one", "relay", 9, {"n": 1e9}))  # without its counterpart: it does not count
    (row,) = make_rows(Tally(tmp_path / "results"), [shape])
    assert (row.is_reached, row.is_aimed) == (is_reached, better is Better.LOWER)
