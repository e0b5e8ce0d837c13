"""The developer's side answered, but only at a second try or by another way."""

from __future__ import annotations

from collections import Counter

from event_protocol.phases import Strategy
from natless.explain.evidence import Evidence
from natless.explain.seen import describe_failure
from natless.explain.verdict import Certainty, Hop, Verdict

_HOW = {
    Strategy.RETRY: "when the event was published again",
    Strategy.ROUTE: "by another route",
    Strategy.POLL: "by polling over HTTPS",
}


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises calls that the strategies ``retry``, ``route`` and ``poll`` saved."""
    setback = evidence.setback
    if evidence.failure is not None or evidence.lost or setback is None:
        return None
    by = Counter(record.strategy for record in evidence.records if record.strategy in _HOW)
    count, strategy = sum(by.values()), by.most_common(1)[0][0]
    return Verdict(
        cause="answered-later",
        works=True,
        phase=setback.phase,
        hop=Hop.CHANNEL if strategy is Strategy.RETRY else Hop.ROUTER,
        sentence=(
            f"Your code answered all {evidence.total} calls, {count} of them only "
            f"{_HOW[strategy]}: at first, {describe_failure(setback)}. Callers wait for that first "
            "try every time it fails."
        ),
        next_steps=(_STEPS[strategy],),
        evidence=(
            f"{describe_failure(setback)}, in {setback.count} of {setback.total} calls",
            *(
                f"{number} calls were answered by the strategy {each}"
                for each, number in by.items()
            ),
        ),
        certainty=Certainty.PROVEN,
    )


_STEPS = {
    Strategy.POLL: (
        "Let WebSockets to the channel through (a proxy or firewall on the way lets HTTPS pass and "
        "not them); a poll is slower."
    ),
    Strategy.RETRY: (
        "See why the first publish is refused or not confirmed: the relay's or AppSync's log has "
        "the reason; an event may have arrived twice."
    ),
    Strategy.ROUTE: (
        "Make the way that works the usual one (NATLESS_REALTIME, or HTTPS_PROXY), or mend the "
        "usual one."
    ),
}
