"""Percentiles of durations in bounded memory.

The first samples are kept as they are, so that the percentiles of a small run are values that
really occurred. From :data:`EXACT_COUNT` samples on they are folded into buckets whose width grows
with the value::

    exact      |x  x xx    x      x|                      percentiles are observed values
    folded     |_|__|___|____|_____|______|               percentiles are off by at most 0.5 %

A percentile is the *nearest rank*: the smallest sample that at least ``q`` of all samples do not
exceed. Of 20 samples the p99 is therefore the largest one; nothing is interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

EXACT_COUNT = 4096  # 32 KB of floats: far above a demo's 20, far below what hurts
RELATIVE_ERROR = 0.005  # of a folded percentile, and so the half width of a bucket

_GROWTH = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_SMALLEST = 1e-7  # below the resolution of any clock we read; all smaller samples share a bucket


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A distribution in a few numbers. Seconds; all zero when ``count`` is zero."""

    count: int = 0
    least: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    most: float = 0.0


class Histogram:
    """Collects durations and answers percentiles; see the module's text for the error."""

    def __init__(self, samples: Iterable[float] = (), *, exact_count: int = EXACT_COUNT) -> None:
        self._exact_count = exact_count
        self._samples: list[float] = []
        self._buckets: dict[int, int] = {}
        self._least = math.inf
        self._most = 0.0
        self.count = 0
        for sample in samples:
            self.add(sample)

    @property
    def is_exact(self) -> bool:
        """Whether every percentile is a sample that occurred."""
        return not self._buckets

    def add(self, seconds: float) -> None:
        """Records one duration.

        Raises:
            ValueError: it is negative or not a number.
        """
        if not seconds >= 0:
            raise ValueError(f"a duration of {seconds} s")
        self.count += 1
        self._least = min(self._least, seconds)
        self._most = max(self._most, seconds)
        if self._buckets:
            self._add_to_bucket(seconds)
            return
        self._samples.append(seconds)
        if len(self._samples) > self._exact_count:
            self._fold()

    def percentile(self, fraction: float) -> float:
        """The nearest rank, in seconds; 0 when nothing was recorded.

        Raises:
            ValueError: ``fraction`` is not within 0 to 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"a fraction of {fraction}")
        if not self.count:
            return 0.0
        rank = max(1, math.ceil(fraction * self.count))
        if self.is_exact:
            self._samples.sort()  # nearly sorted after the first call, which is cheap
            return self._samples[rank - 1]
        return self._percentile_of_buckets(rank)

    def summarize(self) -> Percentiles:
        """The distribution in the numbers that a report shows."""
        if not self.count:
            return Percentiles()
        return Percentiles(
            count=self.count,
            least=self._least,
            p50=self.percentile(0.50),
            p90=self.percentile(0.90),
            p99=self.percentile(0.99),
            most=self._most,
        )

    def _percentile_of_buckets(self, rank: int) -> float:
        seen = 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            if seen >= rank:
                # No percentile may leave the range that occurred.
                return min(max(_middle_of(index), self._least), self._most)
        return self._most

    def _fold(self) -> None:
        for sample in self._samples:
            self._add_to_bucket(sample)
        self._samples.clear()

    def _add_to_bucket(self, seconds: float) -> None:
        index = _index_of(seconds)
        self._buckets[index] = self._buckets.get(index, 0) + 1


def _index_of(seconds: float) -> int:
    return 0 if seconds <= _SMALLEST else 1 + int(math.log(seconds / _SMALLEST) / _GROWTH)


def _middle_of(index: int) -> float:
    """The value in a bucket from which both of its edges are equally far, relatively."""
    if index == 0:
        return 0.0
    lower = _SMALLEST * math.exp((index - 1) * _GROWTH)
    return lower * (1 + RELATIVE_ERROR)
