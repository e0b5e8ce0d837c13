"""The developer's side has the event, and no answer came in time."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import how_long, observations
from natless.measure.durations import humanize


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a handler that took longer than the function waits."""
    failure = evidence.failure
    if failure is None or failure.phase not in (Phase.HANDLE, Phase.REPLY):
        return None
    if failure.outcome is not Outcome.TIMEOUT:
        return None
    return Verdict(
        cause="handler-slow",
        phase=failure.phase,
        hop=Hop.HANDLER,
        sentence=(
            "The developer's side took the event, but its answer did not come in "
            f"{how_long(failure)}: the network works, and the handler is slow, waits for something "
            "itself, or stands at a breakpoint. Look at the worker's output, or raise the "
            "function's timeout."
        ),
        next_steps=(
            "Look at the handler: a database or an API that it cannot reach from your machine "
            "makes it wait.",
            "While you debug, raise the function's timeout: a breakpoint counts.",
            advice.BUDGET.format(
                budget=failure.budget or "dev.silence", seconds=humanize(failure.seconds)
            ),
        ),
        evidence=observations(evidence),
        certainty=Certainty.LIKELY,
        candidates=(
            Candidate(
                "handler-slow",
                "the handler is still running",
                "the worker's output shows the call as started and not as answered",
            ),
            Candidate(
                "worker-lost",
                "the developer's side died or lost its connection after it took the event",
                "the worker's output ends, or shows a reconnect",
            ),
        ),
    )
