"""The function's own deadline came first: its timeout is shorter than the waits."""

from __future__ import annotations

from event_protocol.phases import Outcome
from natless.explain.evidence import Evidence
from natless.explain.verdict import Certainty, Hop, Verdict
from natless.explain.wording import how_long, observations


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a call that was ended in the middle of a phase."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.CANCELLED:
        return None
    return Verdict(
        cause="deadline",
        phase=failure.phase,
        hop=Hop.FUNCTION,
        sentence=(
            f"The function's deadline ended the call {how_long(failure)} into the phase "
            f"'{failure.phase}', before that phase had failed on its own. Raise the function's "
            "timeout above the wait of this phase, and call again to see what it ends in."
        ),
        next_steps=(
            "Raise the function's timeout (Lambda's default is 3 s; Live mode needs 20 s or more).",
            "Or shorten the budget of the phase, so that a fallback answers in time.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.LIKELY,
    )
