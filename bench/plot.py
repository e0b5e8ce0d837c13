"""The figures as bars, in SVG that reads on a light page and on a dark one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from bench.tally import Row

WIDTH = 760
LEFT = 250  # of the bars
RIGHT = 90  # for the numbers behind them
BAR = 14
STEP = 26
HEAD = 58
TEXT = "#767d87"  # as far from white as from the dark theme's black
GOOD, BAD, MUST, AIM = "#3b82f6", "#dc2626", "#e08700", "#767d87"

Scale = Callable[[float], float]


def draw(panels: Sequence[tuple[str, Sequence[Row], bool]]) -> str:
    """One panel below the other.

    Args:
        panels: title, rows, and whether the scale is logarithmic.
    """
    top, parts = 8, []
    for title, rows, is_logarithmic in panels:
        parts.append(_panel(title, rows, top, is_logarithmic=is_logarithmic))
        top += HEAD + STEP * len(rows) + 12
    parts.append(_legend(top))
    height = top + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13" '
        f'fill="{TEXT}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(title: str, rows: Sequence[Row], top: int, *, is_logarithmic: bool) -> str:
    most = max(max(row.ratio, row.figure.aim) for row in rows)
    scale, ticks = (_logarithmic if is_logarithmic else _linear)(most)
    bottom = top + HEAD + STEP * len(rows)
    parts = [f'<text x="0" y="{top + 16}" font-size="15" font-weight="600">{escape(title)}</text>']
    for tick in ticks:
        x = LEFT + scale(tick)
        parts.append(
            f'<line x1="{x:.1f}" y1="{top + HEAD - 10}" x2="{x:.1f}" y2="{bottom}" '
            f'stroke="{TEXT}" stroke-opacity="0.25"/>'
            f'<text x="{x:.1f}" y="{top + HEAD - 16}" text-anchor="middle" font-size="11">'
            f"{tick:g}</text>"
        )
    for number, row in enumerate(rows):
        parts.append(_bar(row, top + HEAD + STEP * number, scale))
    return "\n".join(parts)


def _bar(row: Row, y: int, scale: Scale) -> str:
    middle = y + BAR / 2
    end = scale(row.ratio)
    shown = f"{row.ratio:.2f}" if row.ratio < 10 else f"{row.ratio:.0f}"
    marks = "".join(
        f'<line x1="{LEFT + scale(at):.1f}" y1="{y - 3}" x2="{LEFT + scale(at):.1f}" '
        f'y2="{y + BAR + 3}" stroke="{color}" stroke-width="3"{dash}/>'
        for at, color, dash in (
            (row.figure.target, MUST, ""),
            (row.figure.aim, AIM, ' stroke-dasharray="3 2"'),
        )
    )
    label = row.shape.title
    if row.shape.mode == "conn":
        label = "connections set up"
    return (
        f'<text x="{LEFT - 10}" y="{middle + 4:.0f}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{end:.1f}" height="{BAR}" rx="2" '
        f'fill="{GOOD if row.is_reached else BAD}"/>{marks}'
        f'<text x="{WIDTH}" y="{middle + 4:.0f}" text-anchor="end" font-weight="600">{shown}</text>'
    )


def _legend(y: int) -> str:
    return (
        f'<line x1="{LEFT}" y1="{y}" x2="{LEFT}" y2="{y + 16}" stroke="{MUST}" stroke-width="3"/>'
        f'<text x="{LEFT + 10}" y="{y + 13}">must reach</text>'
        f'<line x1="{LEFT + 110}" y1="{y}" x2="{LEFT + 110}" y2="{y + 16}" stroke="{AIM}" '
        'stroke-width="3" stroke-dasharray="3 2"/>'
        f'<text x="{LEFT + 120}" y="{y + 13}">aims for</text>'
    )


def _linear(most: float) -> tuple[Scale, list[float]]:
    end = math.ceil(most * 5 + 0.1) / 5
    room = WIDTH - LEFT - RIGHT + 30
    return (lambda value: value / end * room), [n / 5 for n in range(round(end * 5) + 1)]


def _logarithmic(most: float) -> tuple[Scale, list[float]]:
    end = math.log10(most * 1.2)
    room = WIDTH - LEFT - RIGHT + 30
    ticks = [n * 10**power for power in range(math.ceil(end)) for n in (1, 2, 5)]
    return (
        lambda value: max(0.0, math.log10(max(value, 1.0))) / end * room,
        [float(one) for one in ticks if math.log10(one) <= end],
    )
