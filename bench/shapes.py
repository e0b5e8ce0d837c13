"""The loads, and the ratios that the relay must reach."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Better(Enum):
    """Which direction of a figure is the good one."""

    HIGHER = "≥"
    LOWER = "≤"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a result, and what the relay must reach.

    Attributes:
        key: its name in a generator's result.
        unit: for the table.
        target: relay over reference; or, when ``is_absolute``, the relay's own number.
        better: which direction is good.
        is_absolute: whether the reference does not matter.
    """

    key: str
    unit: str
    target: float
    better: Better = Better.HIGHER
    is_absolute: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """One load.

    Attributes:
        name: what it is called; TLS ones end in ``-tls``.
        mode: the generator's: fan, rate, http or conn.
        subscribers: how many listen; for conn, how many connections are opened.
        events: how many are published.
        in_flight: publishes that wait for their answer at once; rate: events a second.
        size: bytes of an event as it stands in its frame.
        figures: what is judged.
        needs_c: whether only the generator written in C can make it.
    """

    name: str
    mode: str
    subscribers: int
    events: int
    in_flight: int
    figures: tuple[Figure, ...]
    size: int = 200
    needs_c: bool = False

    @property
    def is_tls(self) -> bool:
        """Whether it is encrypted."""
        return self.name.endswith("-tls")


def _fan(name: str, subscribers: int, events: int, in_flight: int, target: float) -> Shape:
    deliveries = Figure("dps", "deliveries/s", target)
    return Shape(name, "fan", subscribers, events, in_flight, (deliveries,))


SHAPES = (
    _fan("fan1", 1, 200_000, 256, 0.07),
    _fan("fan10", 10, 100_000, 64, 0.28),
    _fan("fan100", 100, 20_000, 16, 0.75),
    _fan("fan500", 500, 4_000, 16, 0.70),
    _fan("lock100", 100, 5_000, 1, 0.70),
    _fan("fan100-tls", 100, 20_000, 16, 0.65),
    _fan("fan500-tls", 500, 4_000, 16, 0.55),
    Shape(
        "rate50",
        "rate",
        100,
        300,
        50,
        (
            Figure("last50", "µs to the last, p50", 1.6, Better.LOWER),
            Figure("last99", "µs to the last, p99", 1.9, Better.LOWER),
        ),
        needs_c=True,
    ),
    Shape(
        "http16",
        "http",
        0,
        40_000,
        16,
        (Figure("pps", "publishes/s", 0.10),),
        needs_c=True,
    ),
    Shape(
        "big1",
        "fan",
        1,
        2_000,
        16,
        (Figure("dps", "deliveries/s", 0.17),),
        size=200_000,
        needs_c=True,
    ),
    Shape(
        "big100",
        "fan",
        100,
        100,
        16,
        (Figure("dps", "deliveries/s", 0.65),),
        size=200_000,
        needs_c=True,
    ),
    Shape(
        "conn",
        "conn",
        5_000,
        0,
        0,
        (
            Figure("rss_kb_per_conn", "kB for an idle one", 18, Better.LOWER, is_absolute=True),
            Figure("conn_per_s", "set-ups/s", 0.14),
        ),
        needs_c=True,
    ),
)
NAIVE_TARGET = 10.0  # relay over naive relay at 100 subscribers, where C cannot be built
