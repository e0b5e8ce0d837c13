"""The channel works; the code in the container answered because `observe` wants it so."""

from __future__ import annotations

from event_protocol.phases import Strategy
from natless.explain.evidence import Evidence
from natless.explain.verdict import Hop, Verdict

# How the guest's note of a call ends.
_ALIKE = "answers the copy alike"
_OTHERWISE = "answers the copy otherwise"


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises calls of which your code only got a copy, and got it."""
    records = evidence.records
    if evidence.failure is not None or evidence.lost or not records:
        return None
    if any(record.strategy is not Strategy.OBSERVE for record in records):
        return None
    alike = sum(record.note.endswith(_ALIKE) for record in records)
    otherwise = sum(record.note.endswith(_OTHERWISE) for record in records)
    rest = len(records) - alike - otherwise
    counted = [
        f"{count} {words}"
        for count, words in (
            (alike, "alike"),
            (otherwise, "otherwise"),
            (rest, "not in time"),
        )
        if count
    ]
    return Verdict(
        cause="observed",
        works=True,
        hop=Hop.NONE,
        sentence=(
            f"The network and the channel work. The code in the container answered all "
            f"{len(records)} calls, as the strategy observe wants it; your code got a copy of each "
            f"and answered {', '.join(counted)}."
        ),
        next_steps=("Compare both answers in the journal and in the worker's output.",)
        if otherwise
        else (),
        evidence=(f"of the copies, your code answered {', '.join(counted)}",),
    )
