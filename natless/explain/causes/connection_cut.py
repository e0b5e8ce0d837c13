"""An established connection was cut before the channel was ready or while it was used."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain.evidence import Evidence
from natless.explain.verdict import Certainty, Hop, Verdict
from natless.explain.wording import how_long, observations

_OPENING = (Phase.CONNECT, Phase.UPGRADE, Phase.INIT, Phase.SUBSCRIBE, Phase.PROBE)


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a reset or an end of the connection in any later phase than TLS."""
    failure = evidence.failure
    if failure is None or failure.outcome not in (Outcome.RESET, Outcome.CLOSED):
        return None
    said = f" ({failure.message})" if failure.message else ""
    when = (
        "before the channel was ready"
        if failure.phase in _OPENING
        else "while the call was on its way"
    )
    return Verdict(
        cause="channel-closed",
        phase=failure.phase,
        hop=Hop.CHANNEL,
        sentence=(
            f"The other side cut the connection {when}, {how_long(failure)} into the phase "
            f"'{failure.phase}'{said}. The way out works; a restart of the channel, an idle limit "
            "on the way (350 s at a NAT gateway) or a filter does this. Call again; if it comes "
            "back, compare the times with the channel's log."
        ),
        next_steps=(
            "Call again: the function opens a new connection.",
            "If it happens after a pause, something on the way forgets idle connections: a NAT "
            "gateway after 350 s without a packet, other devices sooner.",
            "Compare the time with the channel's own log (CloudWatch logs of the Event API, or the "
            "journal of natless' relay).",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
    )
