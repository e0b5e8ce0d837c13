"""The guest in the function did not start: it cannot use what it was configured with."""

from __future__ import annotations

from natless.explain.evidence import Evidence
from natless.explain.verdict import Hop, Verdict
from natless.explain.wording import observations
from natless.measure.recorder import REFUSED_TO_START


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises the error with which the guest ends its init phase."""
    refused = tuple(each for each in evidence.lost if each.error_type == REFUSED_TO_START)
    if evidence.failure is not None or not refused:
        return None
    message = refused[0].error_message.rstrip(".")
    return Verdict(
        cause="guest-refused",
        hop=Hop.FUNCTION,
        sentence=(
            f"The guest in the function did not start, so {len(refused)} of {evidence.total} calls "
            f"got no answer: {message}. Correct that in the function's environment."
        ),
        next_steps=(
            "Correct the variable under [function.environment] in natless.toml, or in the "
            "function's own settings on AWS.",
            "The names and what they may be are in the reference of budgets and of fallbacks.",
        ),
        evidence=(f"init error {REFUSED_TO_START}: {message}", *observations(evidence)),
    )
