"""The developer's side has the event, and no answer came in time."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Evidence, Failure
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
    if failure.budget == "dev.silence":
        return _worker_lost(evidence, failure)
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


def _worker_lost(evidence: Evidence, failure: Failure) -> Verdict:
    """A side that had announced to be heard of regularly, and was not: it is not the handler."""
    return Verdict(
        cause="worker-lost",
        phase=failure.phase,
        hop=Hop.WORKER,
        sentence=(
            "The developer's side took the event and was not heard of again in "
            f"{how_long(failure)}, while the channel still delivered: it died, or lost its "
            "connection. A handler that is only slow, or stands at a breakpoint, is heard of. Look "
            "at the worker's output."
        ),
        next_steps=(
            "Look at the worker's output: it ends, or shows a reconnect. Start it again.",
            advice.KEEP_DEV_RUNNING,
        ),
        evidence=observations(evidence),
        certainty=Certainty.LIKELY,
    )
