"""The channel works, and the developer's handler ended its own process in place of answering."""

from __future__ import annotations

import re

from event_protocol.phases import Phase
from natless.explain.evidence import Evidence
from natless.explain.verdict import Hop, Verdict
from natless.explain.wording import words_of

_EXIT = "Runtime.ExitError"


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises the worker's word that its process is gone; the guest lives."""
    errors = tuple(each for each in evidence.handler_errors if each.error_type == _EXIT)
    if evidence.failure is not None or evidence.lost or not errors:
        return None
    share = f"{len(errors)} of {evidence.total}"
    message = errors[0].error_message
    return Verdict(
        cause="handler-exit",
        works=True,
        phase=Phase.HANDLE,
        hop=Hop.HANDLER,
        sentence=(
            f"The network and the channel work; your handler {_describe_end(message)} in {share} "
            "calls. On Lambda such a call fails with Runtime.ExitError, and the next one is a cold "
            "start. Return an answer or raise an exception in place of ending the process."
        ),
        next_steps=_steps(message),
        evidence=(f"{share} answers of the worker were errors: {words_of(errors)}",),
    )


def _describe_end(message: str) -> str:
    if status := re.search(r"exit status (\d+)", message):
        return f"ended the process with status {status[1]}"
    if signal := re.search(r"signal: (.+?)\.?$", message):
        return f"was ended by a signal ({signal[1]})"
    return "ended the process with status 0"


def _steps(message: str) -> tuple[str, ...]:
    search = "Search the handler and what it imports for `sys.exit`, `os._exit` or `process.exit`."
    if "signal: killed" in message:
        return ("Look for a lack of memory: the kernel ends the largest process.", search)
    return (search,)
