"""Every call of a topology as one bar beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_protocol.phases import InvocationRecord, Strategy
from natless.measure.durations import humanize

SHOWN_COUNT = 120  # bars; more would be thinner than a pixel on a phone

_LEAST_HEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class CallBar:
    """One call; numbers are percent of the drawing.

    Attributes:
        x: left edge.
        width: of the bar.
        height: in proportion to the longest call shown.
        kind: ``worker`` or ``fallback``.
        text: for a pointer that rests on it.
    """

    x: float
    width: float
    height: float
    kind: str
    text: str


def draw_calls(records: Sequence[InvocationRecord]) -> tuple[CallBar, ...]:
    """Bars for the first calls, from left to right, in the order in which they began."""
    shown = sorted(records, key=lambda record: record.started)[:SHOWN_COUNT]
    if not shown:
        return ()
    longest = max(record.finished - record.started for record in shown) or 1.0
    slot = 100 / max(len(shown), 20)
    return tuple(
        CallBar(
            x=round(index * slot, 3),
            width=round(slot * 0.72, 3),
            height=round(max((record.finished - record.started) / longest * 100, _LEAST_HEIGHT), 2),
            kind="worker" if record.strategy is Strategy.WORKER else "fallback",
            text=f"call {index + 1}: {humanize(record.finished - record.started)}, "
            f"{record.strategy}{', cold' if record.cold else ''}",
        )
        for index, record in enumerate(shown)
    )
