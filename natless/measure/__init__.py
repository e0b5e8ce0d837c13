"""Measuring: durations in bounded memory, both sides of an invocation, one topology and another."""

from natless.measure.compare import Comparison, compare
from natless.measure.durations import humanize
from natless.measure.histogram import Histogram, Percentiles
from natless.measure.recorder import CallerResult, Measured, Recorder, find_failure, find_setback

__all__ = [
    "CallerResult",
    "Comparison",
    "Histogram",
    "Measured",
    "Percentiles",
    "Recorder",
    "compare",
    "find_failure",
    "find_setback",
    "humanize",
]
