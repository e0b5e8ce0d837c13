"""The loads, and what the relay must reach under each."""

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
        target: relay over ``against``; without one, the relay's own number.
        aim: what would be better still.
        against: the subject it is compared with: ``c``, ``ministack``, ``naive``, or None.
        better: which direction is good.
    """

    key: str
    unit: str
    target: float
    aim: float
    against: str | None = "c"
    better: Better = Better.HIGHER


@dataclass(frozen=True, slots=True)
class Shape:
    """One load.

    Attributes:
        name: what it is called; TLS ones end in ``-tls``.
        title: what it is, for the page.
        mode: the generator's: fan, rate, http or conn; or an endurance's: start, stall, churn.
        subscribers: how many listen; for conn and churn, how many connections are opened.
        events: how many are published.
        in_flight: publishes that wait for their answer at once; rate: events a second.
        size: bytes of an event as it stands in its frame.
        figures: what is judged.
    """

    name: str
    title: str
    mode: str
    subscribers: int
    events: int
    in_flight: int
    figures: tuple[Figure, ...]
    size: int = 200

    @property
    def is_tls(self) -> bool:
        """Whether it is encrypted."""
        return self.name.endswith("-tls")

    @property
    def is_fresh(self) -> bool:
        """Whether each run wants a server that did nothing else before."""
        return self.mode in ("conn", "start", "stall", "churn")

    @property
    def rivals(self) -> tuple[str, ...]:
        """Whom the relay is compared with."""
        return tuple(sorted({one.against for one in self.figures if one.against is not None}))


MINISTACK_SHARE = 0.06  # of the events that all others get: it is slow


def _rate(target: float, aim: float, *, against: str = "c") -> Figure:
    return Figure("dps", "deliveries/s", target, aim, against)


def _fan(name: str, title: str, load: tuple[int, int, int], *figures: Figure) -> Shape:
    subscribers, events, in_flight = load
    return Shape(name, title, "fan", subscribers, events, in_flight, figures)


def _big(name: str, title: str, load: tuple[int, int], figure: Figure) -> Shape:
    subscribers, events = load
    return Shape(name, title, "fan", subscribers, events, 16, (figure,), size=200_000)


_ROOM = "kB for an idle one"
_LOWER = Better.LOWER
SHAPES = (
    _fan(
        "fan1",
        "1 subscriber, 256 publishes in flight",
        (1, 200_000, 256),
        _rate(0.07, 0.2),
        _rate(20, 50, against="ministack"),
    ),
    _fan("fan10", "10 subscribers, 64 in flight", (10, 100_000, 64), _rate(0.28, 0.5)),
    _fan(
        "fan100",
        "100 subscribers, 16 in flight",
        (100, 20_000, 16),
        _rate(0.75, 0.95),
        _rate(60, 85, against="ministack"),
    ),
    _fan("fan500", "500 subscribers, 16 in flight", (500, 4_000, 16), _rate(0.70, 0.85)),
    _fan(
        "lock100",
        "100 subscribers, one in flight",
        (100, 5_000, 1),
        _rate(0.70, 0.85),
        _rate(6, 9, against="ministack"),
    ),
    _fan("fan100-tls", "100 subscribers, TLS", (100, 20_000, 16), _rate(0.65, 0.85)),
    _fan("fan500-tls", "500 subscribers, TLS", (500, 4_000, 16), _rate(0.55, 0.75)),
    Shape(
        "rate50",
        "100 subscribers, 50 publishes a second",
        "rate",
        100,
        300,
        50,
        (
            Figure("last50", "µs to the last, p50", 1.6, 1.3, better=_LOWER),
            Figure("last99", "µs to the last, p99", 1.9, 1.4, better=_LOWER),
        ),
    ),
    Shape(
        "http16",
        "HTTP, 16 connections",
        "http",
        0,
        40_000,
        16,
        (
            Figure("pps", "publishes/s", 0.10, 0.3),
            Figure("pps", "publishes/s", 4.5, 14, "ministack"),
        ),
    ),
    _big("big1", "events of 200 kB, 1 subscriber", (1, 2_000), _rate(0.17, 0.5)),
    _big("big100", "events of 200 kB, 100 subscribers", (100, 100), _rate(0.65, 0.9)),
    Shape(
        "conn",
        "5,000 connections, each with a subscription",
        "conn",
        5_000,
        0,
        0,
        (
            Figure("rss_kb_per_conn", _ROOM, 18, 8, None, _LOWER),
            Figure("conn_per_s", "set-ups/s", 0.14, 0.4),
            Figure("conn_per_s", "set-ups/s", 3.5, 10, "ministack"),
        ),
    ),
    Shape(
        "idle10k",
        "10,000 connections held",
        "conn",
        10_000,
        0,
        0,
        (Figure("rss_kb_per_conn", _ROOM, 18, 8, None, _LOWER),),
    ),
    Shape(
        "start",
        "from the command to the ready line",
        "start",
        0,
        0,
        0,
        (Figure("seconds", "s", 1.5, 0.5, None, _LOWER),),
    ),
    Shape(
        "stall",
        "200 MB at one who does not read, 10 who do",
        "stall",
        10,
        1_000,
        4,
        (
            Figure("grown_mb", "MB that the relay grew at most", 64, 32, None, _LOWER),
            Figure("kept", "of the rate of the others kept", 0.7, 0.9, None),
        ),
        size=200_000,
    ),
    Shape(
        "churn",
        "10,000 connections that come and go",
        "churn",
        10_000,
        0,
        0,
        (
            Figure("left", "sockets, connections and subscriptions left", 0, 0, None, _LOWER),
            Figure("grown_mb", "MB kept of the second 5,000", 4, 1, None, _LOWER),
        ),
    ),
)
NAIVE_TARGET = 10.0  # relay over naive relay at 100 subscribers, where C cannot be built
