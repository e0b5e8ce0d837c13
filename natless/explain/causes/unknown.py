"""No cause of ours fits: says so, with everything that was seen."""

from __future__ import annotations

from natless.explain.evidence import Evidence
from natless.explain.seen import describe_seen
from natless.explain.verdict import Certainty, Hop, Verdict
from natless.explain.wording import observations


def explain(evidence: Evidence) -> Verdict:
    """Ends the list of causes honestly."""
    failure = evidence.failure
    notes = tuple(dict.fromkeys(record.note for record in evidence.records if record.note))[:3]
    seen = describe_seen(evidence)
    return Verdict(
        cause="unknown",
        phase=failure.phase if failure else None,
        hop=Hop.NONE,
        sentence=(
            f"No cause that natless knows fits what was seen ({seen}). The evidence is below; "
            "the journal has every fact of the run."
        ),
        next_steps=(
            "Read the journal around the first failed call.",
            "Report it with report.json, so that the cause gets a file of its own.",
        ),
        evidence=(*observations(evidence), *(f"the function noted: {note}" for note in notes)),
        certainty=Certainty.OPEN,
    )
