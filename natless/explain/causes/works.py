"""Nothing to complain about: the developer's side answered every call."""

from __future__ import annotations

from natless.explain.evidence import Evidence
from natless.explain.verdict import Hop, Verdict
from natless.measure.durations import humanize


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a run in which the worker answered all."""
    if evidence.failure is not None or evidence.lost or not evidence.records:
        return None
    if any(record.note for record in evidence.records):
        return None  # a fallback answered without telling a phase
    seen = evidence.results or evidence.records  # what a caller waits is what counts
    waits = sorted(each.finished - each.started for each in seen)
    return Verdict(
        cause="works",
        works=True,
        hop=Hop.NONE,
        sentence=_say(waits),
        evidence=(f"{len(waits)} of {len(waits)} calls were answered by the worker",),
    )


def _say(waits: list[float]) -> str:
    if len(waits) == 1:
        return f"The developer's side answered the call in {humanize(waits[0])}."
    half = humanize(waits[(len(waits) - 1) // 2])
    return f"The developer's side answered all {len(waits)} calls, half of them within {half}."
