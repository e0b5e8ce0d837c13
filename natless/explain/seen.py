"""What was seen, in a few words, and whether it is what the topology promises."""

from __future__ import annotations

from typing import Protocol

from event_protocol.phases import Outcome, Phase
from natless.explain.evidence import Evidence, Failure
from natless.measure.durations import humanize
from natless.measure.recorder import REFUSED_TO_START

_WORDS = {
    Outcome.REFUSED: "connection refused",
    Outcome.RESET: "connection reset",
    Outcome.UNREACHABLE: "network unreachable",
    Outcome.NAME_NOT_FOUND: "no such name",
    Outcome.TLS_ERROR: "certificate or protocol error",
    Outcome.DENIED: "denied",
    Outcome.CLOSED: "channel closed",
    Outcome.CANCELLED: "ended by the function's deadline",
}


class PromiseLike(Protocol):
    """What a topology promises, as far as it is compared here."""

    @property
    def text(self) -> str:
        """The promise in a few words."""

    @property
    def phase(self) -> Phase:
        """Where calls end; means nothing when ``outcome`` is ok."""

    @property
    def outcome(self) -> Outcome:
        """How they end, ok for a topology that works."""

    @property
    def http_status(self) -> int | None:
        """The status that refuses, None when any will do."""


def describe_failure(failure: Failure) -> str:
    """A failure as a table shows it: ``connect: no answer in 3.0 s``."""
    return f"{failure.phase}: {_what(failure)}"


def _what(failure: Failure) -> str:
    if failure.outcome is Outcome.TIMEOUT:
        return f"no answer in {humanize(failure.seconds)}"
    if failure.is_answered_lookup:
        return f"resolver failed after {humanize(failure.seconds)}"
    if failure.outcome is Outcome.NAME_TIMEOUT:
        return f"no answer to the name in {humanize(failure.seconds)}"
    if failure.status is not None:
        source = f" from {failure.address}" if failure.address else ""
        return f"HTTP {failure.status}{source}"
    return _WORDS.get(failure.outcome, str(failure.outcome))


def describe_seen(evidence: Evidence) -> str:
    """What the run showed: ``works``, or the most frequent failure and its share."""
    if (failure := evidence.failure) is not None:
        return describe_failure(failure) + _share(failure.count, failure.total)
    if lost := evidence.lost:
        refused = sum(result.error_type == REFUSED_TO_START for result in lost)
        if refused == len(lost):
            return "guest does not start" + _share(refused, evidence.total)
        return f"{len(lost)} of {evidence.total} not answered"
    if (setback := evidence.setback) is not None:
        return f"works after {describe_failure(setback)}" + _share(setback.count, setback.total)
    if errors := evidence.handler_errors:
        return "works, handler fails" + _share(len(errors), evidence.total)
    return "works" if evidence.records else "nothing measured"


def _share(count: int, total: int) -> str:
    return f" ({count} of {total})" if count < total else ""


def is_kept(promise: PromiseLike, evidence: Evidence) -> bool:
    """Whether every call ended as the topology promises.

    A network that promises a failure keeps its word also when the guest then found another way: at
    first each call must have met it.
    """
    failure = evidence.failure
    if not evidence.records or evidence.lost:
        return False
    if promise.outcome is Outcome.OK:
        return failure is None
    failure = failure or evidence.setback
    if failure is None:
        return False
    return (
        not failure.is_partial
        and failure.phase is promise.phase
        and failure.outcome is promise.outcome
        and promise.http_status in (None, failure.status)
    )
