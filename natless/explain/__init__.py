"""Explaining: evidence in, verdict out. One cause per file in :mod:`natless.explain.causes`."""

from natless.explain.engine import explain
from natless.explain.evidence import (
    Dropper,
    Evidence,
    Failure,
    NetworkFacts,
    is_inside,
    observe_failure,
)
from natless.explain.seen import PromiseLike, describe_seen, is_kept
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict

__all__ = [
    "Candidate",
    "Certainty",
    "Dropper",
    "Evidence",
    "Failure",
    "Hop",
    "NetworkFacts",
    "PromiseLike",
    "Verdict",
    "describe_seen",
    "explain",
    "is_inside",
    "is_kept",
    "observe_failure",
]
