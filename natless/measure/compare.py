"""One topology beside another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from natless.measure.histogram import Percentiles


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much longer a caller waited than on the fastest topology.

    Attributes:
        baseline: the name of the fastest topology by p50.
        factors: p50 divided by the baseline's p50, at least 1; topologies without a sample are
            left out.
    """

    baseline: str
    factors: Mapping[str, float]


def compare(latencies: Mapping[str, Percentiles]) -> Comparison | None:
    """Relates every topology to the fastest one; None when nothing can be related."""
    counted = {name: latency for name, latency in latencies.items() if latency.count}
    if len(counted) < 2:
        return None
    baseline = min(counted, key=lambda name: counted[name].p50)
    least = counted[baseline].p50
    if least <= 0:
        return None
    return Comparison(baseline, {name: latency.p50 / least for name, latency in counted.items()})
