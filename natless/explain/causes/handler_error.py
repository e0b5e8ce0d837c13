"""The channel works, and the developer's handler answered with an error."""

from __future__ import annotations

from collections import Counter

from event_protocol.phases import Phase
from natless.explain.evidence import Evidence
from natless.explain.verdict import Hop, Verdict
from natless.explain.wording import words_of
from natless.measure.recorder import CallerResult


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises errors that came all the way from the handler."""
    errors = evidence.handler_errors
    if evidence.failure is not None or evidence.lost or not errors:
        return None
    share = f"{len(errors)} of {evidence.total}"
    typical = _find_typical(errors)
    place = f", at {typical.error_trace[-1].partition(': ')[0]}" if typical.error_trace else ""
    return Verdict(
        cause="handler-error",
        works=True,
        phase=Phase.HANDLE,
        hop=Hop.HANDLER,
        sentence=(
            f"The network and the channel work; your handler answered {share} calls with an error: "
            f"{words_of(errors).rstrip('.')}{place}."
        ),
        next_steps=("Correct the handler: the whole traceback is in the worker's output.",),
        evidence=(f"{share} answers of the worker were errors: {words_of(errors)}",),
        excerpt=_excerpt(typical),
    )


def _find_typical(errors: tuple[CallerResult, ...]) -> CallerResult:
    """One of the most frequent kind."""
    kind = Counter(error.error_type for error in errors).most_common(1)[0][0]
    return next(error for error in errors if error.error_type == kind)


def _excerpt(error: CallerResult) -> tuple[str, ...]:
    if not error.error_trace:
        return ()
    return (*error.error_trace, f"{error.error_type}: {error.error_message}")
