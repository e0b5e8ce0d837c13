"""The channel works, and the developer's handler answered with an error."""

from __future__ import annotations

from event_protocol.phases import Phase
from natless.explain.evidence import Evidence
from natless.explain.verdict import Hop, Verdict


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises errors that came all the way from the handler."""
    errors = evidence.handler_errors
    if evidence.failure is not None or evidence.lost or not errors:
        return None
    kinds = ", ".join(sorted({error.error_type for error in errors}))
    return Verdict(
        cause="handler-error",
        works=True,
        phase=Phase.HANDLE,
        hop=Hop.HANDLER,
        sentence=(
            f"The network and the channel work; your handler answered {len(errors)} of "
            f"{evidence.total} calls with an error ({kinds}). Read its traceback in the worker's "
            "output."
        ),
        next_steps=("Read the handler's traceback in the worker's output, and call it again.",),
        evidence=(f"{len(errors)} of {evidence.total} answers of the worker were errors: {kinds}",),
    )
