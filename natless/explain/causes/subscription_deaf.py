"""The channel acknowledged the subscription, and delivers nothing on it."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import how_long, observations
from natless.measure.durations import humanize


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a probe to the function's own channel that never came back."""
    failure = evidence.failure
    if failure is None or failure.phase is not Phase.PROBE:
        return None
    if failure.outcome is not Outcome.TIMEOUT:
        return None
    return Verdict(
        cause="subscription-not-live",
        phase=failure.phase,
        hop=Hop.CHANNEL,
        sentence=(
            "The channel acknowledged the subscription, but an event that the function sent to its "
            f"own channel did not come back in {how_long(failure)}, also on a second subscription: "
            "the way out works, and an answer would have been lost in the same way. Call again; if "
            "it comes back, look at the channel's own log."
        ),
        next_steps=(
            "Call again: AppSync acknowledges a subscription before it is live everywhere.",
            "Look for a handler of the channel namespace that filters or drops events: the probe "
            "passes through it, too.",
            advice.BUDGET.format(
                budget=failure.budget or "subscribe.live", seconds=humanize(failure.seconds)
            ),
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "subscription-late",
                "the subscription becomes live later than its acknowledgement says",
                "a longer budget `subscribe.live` lets the call through",
            ),
            Candidate(
                "events-filtered",
                "a handler of the namespace drops what the function publishes to its own channel",
                "the namespace's handlers, and its log",
            ),
        ),
    )
