"""Pauses between tries: doubled each time up to a limit, and never quite the same."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random


def pauses(first: float, longest: float, *, rng: Random) -> Iterator[float]:
    """Seconds to wait before the second try, the third, and so on without end.

    Each is between a half and the whole of its step: environments that failed in the same moment do
    not come back in the same moment.
    """
    step = first
    while True:
        yield min(step, longest) * rng.uniform(0.5, 1.0)
        step = min(step * 2, longest)
