"""The connection stands, and the channel does not answer a question in time."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Evidence, is_inside
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, how_long, observations
from natless.measure.durations import humanize

_ASKED = {
    Phase.UPGRADE: "the upgrade to a WebSocket",
    Phase.INIT: "connection_init",
    Phase.SUBSCRIBE: "subscribe",
    Phase.PUBLISH: "the publish",
}


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a question to the channel without an answer."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.TIMEOUT or failure.step not in _ASKED:
        return None
    inside = is_inside(failure.address)
    return Verdict(
        cause="channel-silent",
        phase=failure.phase,
        hop=Hop.ENDPOINT if inside else Hop.CHANNEL,
        sentence=(
            f"TCP and TLS to {address_of(failure)} stand, but {_ASKED[failure.step]} got no answer "
            f"in {how_long(failure)}: the way out works, and whoever answers there is slow or does "
            "not speak this protocol. Look at what stands between (a proxy that holds WebSockets "
            "back?), then at the channel."
        ),
        next_steps=(
            "If a proxy or a firewall that opens TLS is on the way, let WebSockets of the API's "
            "realtime name pass unopened.",
            "Look at the channel itself: the AWS Health Dashboard, or the log of natless' relay.",
            advice.BUDGET.format(
                budget=failure.budget or failure.phase, seconds=humanize(failure.seconds)
            ),
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "proxy-holds-websocket",
                "a proxy that takes the request and never passes the upgrade on",
                "the certificate shown to the function is the proxy's",
            ),
            Candidate(
                "channel-slow",
                "the channel is overloaded or stuck",
                "the same call from outside the VPC waits too",
            ),
        ),
    )
