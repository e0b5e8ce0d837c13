"""Every call of a topology as one bar beside the others.

A cold call is often fifty times as long as a warm one, and would leave nothing of the others to
see. So the scale is that of the warm calls, and what is longer is cut, which the drawing shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from event_protocol.phases import InvocationRecord
from natless.measure.durations import humanize
from natless.measure.recorder import CallerResult

SHOWN_COUNT = 120  # bars; more would be thinner than a pixel on a phone

_LEAST_HEIGHT = 4.0
_FAR = 3.0  # times a warm call, from where a cold one is cut
_HEADROOM = 1.5  # so that a cut bar still stands out


@dataclass(frozen=True, slots=True)
class CallBar:
    """One call; numbers are percent of the drawing.

    Attributes:
        x: left edge.
        width: of the bar.
        height: in proportion to the longest warm call; 100 at most.
        kind: ``worker`` or ``fallback``.
        is_cut: whether the call was longer than the drawing is high.
        text: for a pointer that rests on it.
    """

    x: float
    width: float
    height: float
    kind: str
    is_cut: bool
    text: str


def draw_calls(
    records: Sequence[InvocationRecord], results: Sequence[CallerResult] = ()
) -> tuple[CallBar, ...]:
    """Bars for the first calls, from left to right, in the order in which they began.

    Args:
        records: what the guest measured.
        results: what the callers waited, which counts where it is known.
    """
    waits = {result.request_id: result.duration for result in results}
    frozen = {result.request_id: result.frozen for result in results}
    shown = sorted(records, key=lambda record: record.started)[:SHOWN_COUNT]
    timed = [(each, waits.get(each.request_id, each.finished - each.started)) for each in shown]
    slot = 100 / max(len(timed), 20)
    scale = _choose_scale(timed)
    return tuple(
        CallBar(
            x=round(index * slot, 3),
            width=round(slot * 0.72, 3),
            height=round(min(max(seconds / scale * 100, _LEAST_HEIGHT), 100.0), 2),
            kind="worker" if record.strategy.is_developers else "fallback",
            is_cut=seconds > scale,
            text=f"call {index + 1}: {humanize(seconds)}, {record.strategy}"
            f"{', cold' if record.cold else ''}{after_freeze(frozen.get(record.request_id))}",
        )
        for index, (record, seconds) in enumerate(timed)
    )


def after_freeze(seconds: float | None) -> str:
    """How long the environment had stood still before a call; empty when that is no news."""
    return f", after {humanize(seconds)} frozen" if seconds is not None and seconds >= 1 else ""


def _choose_scale(timed: Sequence[tuple[InvocationRecord, float]]) -> float:
    """Seconds at the upper edge: of the longest call, or of a warm one if those are far shorter."""
    longest = max((seconds for _, seconds in timed), default=0.0) or 1.0
    warm = max((seconds for record, seconds in timed if not record.cold), default=0.0)
    return warm * _HEADROOM if 0 < warm * _FAR < longest else longest
