"""One invocation as rows of bars: where each stands, how wide it is, and what it says.

Positions are percentages of the whole call, as its caller waited for it, so that the drawing fits
any screen::

    resolve   |▌                                         |   1.9 ms   of 2.0 s
    connect   | ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▏✕   |   3.0 s    of 3.0 s   ▏ its budget
    fallback  |                                         ▌|   4 ms
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span
from natless.measure.durations import humanize
from natless.measure.recorder import CallerResult
from natless.report.calls import after_freeze

_GROUPS = {
    Phase.PUBLISH: "deliver",
    Phase.DELIVER: "deliver",
    Phase.HANDLE: "handle",
    Phase.REPLY: "reply",
}
_LEAST_WIDTH = 0.35  # percent; a bar of no width would hide that a phase was there
_TICK_COUNT = 4  # about
_WORTH_A_ROW = 0.05  # of the call; below, what passed before the guest is noise


@dataclass(frozen=True, slots=True)
class Bar:
    """One row.

    Attributes:
        label: the phase, or the fallback.
        kind: what to paint: ``wait``, ``open``, ``deliver``, ``handle``, ``reply``, ``fallback``,
            ``failed``.
        left: percent.
        width: percent.
        duration: for a reader.
        budget: the wait's length for a reader, empty without one.
        budget_name: the wait's name, empty without one.
        budget_at: percent at which the budget ends, None when that is outside of the call.
        outcome: how it ended, empty when well.
    """

    label: str
    kind: str
    left: float
    width: float
    duration: str
    budget: str = ""
    budget_name: str = ""
    budget_at: float | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """One invocation, ready to be painted.

    Attributes:
        title: which call it is.
        duration: of the whole call, for a reader.
        bars: in order of their start.
        ticks: the time axis.
    """

    title: str
    duration: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


def draw_waterfall(
    record: InvocationRecord, *, title: str, caller: CallerResult | None = None
) -> Waterfall:
    """Lays out the phases of one invocation; with its caller, from the caller's question on."""
    origin = min(record.started, caller.started) if caller else record.started
    finished = max(record.finished, caller.finished) if caller else record.finished
    ends = [finished, *(span.finished for span in record.spans)]
    seconds = max(max(ends) - origin, 1e-6)
    bars = [*_draw_start(record, origin=origin, seconds=seconds)]
    bars += [_draw_span(span, origin=origin, seconds=seconds) for span in record.spans]
    bars += _draw_fallback(record, origin=origin, seconds=seconds)
    return Waterfall(
        title=title + after_freeze(caller.frozen if caller else None),
        duration=humanize(finished - origin),
        bars=tuple(sorted(bars, key=lambda bar: bar.left)),
        ticks=tuple(_draw_ticks(seconds)),
    )


def _percent(seconds: float, whole: float) -> float:
    return round(min(max(seconds / whole * 100, 0.0), 100.0), 3)


def _draw_start(record: InvocationRecord, *, origin: float, seconds: float) -> Iterator[Bar]:
    """What passed before the guest had the event: above all the start of its process."""
    ahead = [span.started for span in record.spans]  # the channel is opened before the event
    waited = min([record.started, *ahead]) - origin
    if waited / seconds >= _WORTH_A_ROW:
        yield Bar(
            label="cold start" if record.cold else "wait",
            kind="wait",
            left=0.0,
            width=_percent(waited, seconds),
            duration=humanize(waited),
        )


def _draw_span(span: Span, *, origin: float, seconds: float) -> Bar:
    is_failed = span.outcome is not Outcome.OK
    left = _percent(span.started - origin, seconds)
    budget_at = (span.started + span.budget_seconds - origin) / seconds * 100
    return Bar(
        label=_label(span),
        kind="failed" if is_failed else _GROUPS.get(span.phase, "open"),
        left=min(left, 100 - _LEAST_WIDTH),
        width=max(_percent(span.duration, seconds), _LEAST_WIDTH),
        duration=humanize(span.duration),
        budget=humanize(span.budget_seconds) if span.budget else "",
        budget_name=span.budget,
        budget_at=round(budget_at, 3) if span.budget and budget_at <= 100 else None,
        outcome=_outcome(span) if is_failed else "",
    )


def _outcome(span: Span) -> str:
    status = span.detail.get("status")
    return f"HTTP {status}" if isinstance(status, int) else str(span.outcome).replace("-", " ")


def _label(span: Span) -> str:
    """A phase that occurs twice says which: the guest publishes who it is, then the event."""
    packet = span.detail.get("packet")
    return f"{span.phase} {packet}" if isinstance(packet, str) and packet != "next" else span.phase


def _draw_fallback(record: InvocationRecord, *, origin: float, seconds: float) -> Iterator[Bar]:
    """The time between the channel's failure and the answer belongs to the fallback."""
    if record.strategy.is_developers:
        return
    channel = [span for span in record.spans if span.phase is not Phase.REPLY]
    replies = [span.started for span in record.spans if span.phase is Phase.REPLY]
    started = max((span.finished for span in channel), default=record.started)
    finished = max(started, replies[-1] if replies else record.finished)
    yield Bar(
        label=f"fallback: {record.strategy}",
        kind="fallback",
        left=min(_percent(started - origin, seconds), 100 - _LEAST_WIDTH),
        width=max(_percent(finished - started, seconds), _LEAST_WIDTH),
        duration=humanize(finished - started),
    )


def _draw_ticks(seconds: float) -> Iterator[Tick]:
    """Round times: 1, 2 or 5 times a power of ten, about four of them."""
    power = 10 ** math.floor(math.log10(seconds / _TICK_COUNT))
    step = next(
        (factor * power for factor in (1, 2, 5) if seconds / (factor * power) <= _TICK_COUNT),
        10 * power,
    )
    for index in range(int(seconds / step) + 1):
        at = index * step
        if at <= seconds * 0.93 or index == 0:  # a label at the very edge would be cut off
            yield Tick(_percent(at, seconds), humanize(at) if index else "0")
