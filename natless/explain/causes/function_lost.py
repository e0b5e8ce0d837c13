"""Callers got no answer of the function at all: Lambda ended it."""

from __future__ import annotations

from natless.explain.evidence import Evidence
from natless.explain.verdict import Certainty, Hop, Verdict
from natless.explain.wording import observations
from natless.measure.durations import humanize


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises lost calls of which the guest could tell nothing."""
    lost = evidence.lost
    if evidence.failure is not None or not lost:
        return None
    kinds = ", ".join(sorted({result.error_type for result in lost}))
    waits = sorted(result.duration for result in lost)
    last = tuple(dict.fromkeys(line for each in lost for line in each.error_trace[-1:]))
    why = (
        f"({kinds}). The last line of its log: {last[0].rstrip('.')}."
        if last
        else f"({kinds}) before it could say in which phase it was. Raise its timeout above the "
        "waits of the bridge, or read its log up to the last line."
    )
    return Verdict(
        cause="function-lost",
        hop=Hop.FUNCTION,
        sentence=(
            f"{len(lost)} of {evidence.total} calls got no answer after "
            f"{humanize(waits[len(waits) // 2])}: Lambda ended the function {why}"
        ),
        next_steps=(
            "Read the function's log: the last line before the end names what it waited for.",
            "Raise the function's timeout, so that the wait ends before the function does.",
            "If it exited by itself (Runtime.ExitError), start its bootstrap by hand.",
        ),
        evidence=(
            *dict.fromkeys(f"Lambda said: {each.error_message}" for each in lost[:3]),
            *(f"the function's log ended with: {line}" for line in last[:3]),
            *observations(evidence),
        ),
        certainty=Certainty.OPEN,
    )
