"""The channel took the event, and nobody on the developer's side said that it has it."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import how_long, observations


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a published event without any answer."""
    failure = evidence.failure
    if failure is None or failure.phase is not Phase.DELIVER:
        return None
    if failure.outcome is not Outcome.TIMEOUT:
        return None
    return Verdict(
        cause="worker-absent",
        phase=failure.phase,
        hop=Hop.WORKER,
        sentence=(
            "The function reached the channel and published, but nobody on the developer's side "
            f"answered in {how_long(failure)}: the way out of the VPC works. Start the "
            "developer's side with the same app and stage, and leave it running."
        ),
        next_steps=(
            advice.KEEP_DEV_RUNNING,
            "Compare app, stage, region and API on both sides: another stage listens on another "
            "channel.",
            "If it does run, its own way to the channel may be cut: look at its log for a "
            "reconnect.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.LIKELY,
        candidates=(
            Candidate(
                "worker-absent",
                "the developer's side is not running",
                "its terminal; or the relay's list of connections",
            ),
            Candidate(
                "other-channel",
                "it runs for another app, stage or API",
                "compare both sides' channel, `/<namespace>/<app>/<stage>/in`",
            ),
        ),
    )
