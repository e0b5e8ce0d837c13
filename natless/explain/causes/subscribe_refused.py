"""The channel refuses the subscription: a namespace that does not exist, or a malformed channel."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain.evidence import Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import observations


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises subscribe_error and publish_error that are not about credentials."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.DENIED:
        return None
    said = f" ({failure.message})" if failure.message else ""
    verb = "publish" if failure.phase is Phase.PUBLISH else "subscribe"
    return Verdict(
        cause=f"{verb}-refused",
        phase=failure.phase,
        hop=Hop.CHANNEL,
        sentence=(
            f"The network and the connection are fine; the channel refused to {verb}{said}. Check "
            "that the channel namespace exists on this API and that both sides use the same one "
            "(SST's is `sst`)."
        ),
        next_steps=(
            "List the namespaces: `aws appsync list-channel-namespaces --api-id <id>`.",
            "Compare the app and stage in the function's settings with the developer's side.",
            "Look at the namespace's own authorization modes: they override the API's.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.LIKELY,
        candidates=(
            Candidate(
                "namespace-missing",
                "the API has no channel namespace of that name",
                "`aws appsync list-channel-namespaces --api-id <id>`",
            ),
            Candidate(
                "limit",
                "a quota is spent, such as subscriptions per connection or the size of an event",
                "the message names it",
            ),
        ),
    )
