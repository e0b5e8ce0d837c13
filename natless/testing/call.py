"""One call of the function, as a test looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from event_protocol.phases import InvocationRecord, Phase, Strategy
from natless.explain import Evidence, Failure, Verdict, describe_seen, is_kept
from natless.explain.seen import PromiseLike
from natless.measure import humanize
from natless.measure.function_error import FunctionError


@dataclass(frozen=True, slots=True)
class Call:
    """What one call came to.

    Attributes:
        topology: the network that it was made in.
        answer: what the caller got, decoded from JSON; bytes where it is none.
        error: the error that the function, or Lambda in its place, answered; None for a success.
        is_answered: whether the function answered at all; an error of the handler is an answer.
        seconds: what the caller waited.
        verdict: the cause, and what would help; ``verdict.cause`` is a stable name, ``works`` for
            a call that the developer's code answered.
        record: what the guest measured, phase by phase; None when it could not say so any more.
        log: the end of the function's log, as Lambda returns it.
    """

    topology: str
    answer: Any
    error: FunctionError | None
    is_answered: bool
    seconds: float
    verdict: Verdict
    record: InvocationRecord | None = None
    log: str = field(default="", repr=False)
    _evidence: Evidence = field(default_factory=lambda: Evidence(""), repr=False)

    @property
    def by(self) -> Strategy | None:
        """Who answered: ``worker`` for the developer's code, or the fallback's name."""
        return self.record.strategy if self.record is not None else None

    @property
    def is_by_developer(self) -> bool:
        """Whether the developer's code answered, if only at a second try or by another way."""
        return self.by is not None and self.by.is_developers

    @property
    def failure(self) -> Failure | None:
        """Where the channel gave up: ``phase``, ``outcome``, ``address`` …; None when it worked."""
        return self._evidence.failure

    @property
    def seen(self) -> str:
        """What happened, in a few words: ``works``, ``connect: no answer in 3.0 s``."""
        return describe_seen(self._evidence)

    @property
    def phases(self) -> dict[Phase, float]:
        """Seconds of each phase that occurred, with all its tries."""
        found: dict[Phase, float] = {}
        for span in self.record.spans if self.record is not None else ():
            found[span.phase] = found.get(span.phase, 0.0) + span.duration
        return found

    def keeps(self, promise: PromiseLike) -> bool:
        """Whether it ended as a topology promises."""
        return is_kept(promise, self._evidence)

    def __str__(self) -> str:
        """For a failed test: what happened, and why."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        by = "nobody" if self.by is None else str(self.by)
        yield f"{self.topology}: {self.seen}, answered by {by} in {humanize(self.seconds)}"
        if self.error is not None:
            yield f"  error: {self.error.error_type}: {self.error.message}"
        if self.verdict.cause != "works":
            yield f"  {self.verdict.sentence} [{self.verdict.cause}]"
        yield from (f"  | {line}" for line in self.verdict.excerpt)
