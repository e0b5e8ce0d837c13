"""What was measured of the invocations on one topology: collected one by one, read as a whole.

Two sides see an invocation. The guest in the function writes an
:class:`~event_protocol.phases.InvocationRecord` with its phases; the caller has a
:class:`CallerResult` with what came back and when. Either may be missing: a guest that is killed
writes no record, and a caller that went away has no result.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.measure.function_error import TIMED_OUT, FunctionError, Mask
from natless.measure.histogram import Histogram, Percentiles

# The guest notes what it tried beside the usual way: "connect: …; route could not: …; answered by".
_WENT_ON = re.compile(r"; (?:(?:retry|route|poll) could not: |answered by (?:retry|route|poll)\b)")

KEPT_COUNT = 1000  # records and results kept word by word; the percentiles count all of them

REFUSED_TO_START = "LiveBridge.ConfigInvalid"
"""What the guest says, by ``init/error``, when it cannot use what it was configured with."""

# What Lambda itself says when a function gave no answer (Lambda developer guide,
# "Understanding the Lambda execution environment lifecycle"; error types as in the invoke payload).
LOST_ERROR_TYPES = frozenset(
    {
        TIMED_OUT,
        REFUSED_TO_START,
        "Runtime.ExitError",
        "Runtime.InvalidEntrypoint",
        "Runtime.InvalidWorkingDir",
        "Extension.Crash",
    }
)


@dataclass(frozen=True, slots=True)
class CallerResult:
    """What one caller got back.

    Attributes:
        request_id: the invocation's id.
        started: monotonic seconds at which the caller asked.
        finished: monotonic seconds at which the caller had the reply.
        answered: whether the function answered at all. An error of the handler is an answer; the
            end of the function by Lambda (timeout, exit) is none.
        error_type: ``errorType`` of the reply when it was an error, else empty.
        error_message: its ``errorMessage``, cut, without secrets.
        error_trace: the end of its trace, as far as it is the developer's own code; of a call that
            got no answer, the last line of the function's log, where it is known.
        frozen: seconds for which the function's environment had stood still before; None when it
            was new, or is never frozen. Connections may have ended in that time.
    """

    request_id: str
    started: float
    finished: float
    answered: bool = True
    error_type: str = ""
    error_message: str = ""
    error_trace: tuple[str, ...] = ()
    frozen: float | None = None

    @property
    def duration(self) -> float:
        """Seconds that the caller waited."""
        return self.finished - self.started

    @classmethod
    def from_reply(
        cls,
        request_id: str,
        payload: bytes,
        *,
        function_error: str | None,
        started: float,
        finished: float,
        folders: Sequence[Path] = (),
        mask: Mask | None = None,
        frozen: float | None = None,
    ) -> CallerResult:
        """Judges a reply of the Invoke API by its ``X-Amz-Function-Error`` and its payload.

        A worker answers in Lambda's words when its handler ended by itself. Only the guest's record
        tells that apart from the end of the guest: :class:`Recorder` puts both together.

        Args:
            request_id: the invocation's id.
            payload: of the reply.
            function_error: the header; None for a success.
            started: monotonic seconds at which the caller asked.
            finished: monotonic seconds at which the reply was there.
            folders: where the developer's code lies, here and as it was deployed.
            mask: blots secrets out of an error's words.
            frozen: for how long the environment had stood still before.
        """
        if not function_error:
            return cls(request_id, started, finished, frozen=frozen)
        error = FunctionError.parse(payload, folders=folders, mask=mask)
        return cls(
            request_id=request_id,
            started=started,
            finished=finished,
            answered=error.error_type not in LOST_ERROR_TYPES,
            error_type=error.error_type,
            error_message=error.message,
            error_trace=error.trace,
            frozen=frozen,
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """The invocations of one topology in numbers.

    Attributes:
        total: how many invocations were made.
        answered: to how many of them the function gave an answer, its own or a fallback's.
        by: who answered how many.
        latency: seconds, as the caller saw them; as the guest saw them if no caller told.
        phases: seconds of each phase that occurred, in the order of a call, failures included.
        failed_phases: how many invocations ended in which phase.
    """

    total: int = 0
    answered: int = 0
    by: Mapping[Strategy, int] = field(default_factory=dict)
    latency: Percentiles = field(default_factory=Percentiles)
    phases: Mapping[Phase, Percentiles] = field(default_factory=dict)
    failed_phases: Mapping[Phase, int] = field(default_factory=dict)


class Recorder:
    """Collects both sides of the invocations on one topology. Pure: it reads no clock."""

    def __init__(self, *, kept_count: int = KEPT_COUNT) -> None:
        self._kept_count = kept_count
        self._records: list[InvocationRecord] = []
        self._results: list[CallerResult] = []
        self._caller_latency = Histogram()
        self._guest_latency = Histogram()
        self._phases: dict[Phase, Histogram] = {}
        self._by: Counter[Strategy] = Counter()
        self._failed: Counter[Phase] = Counter()
        self._answered = 0
        # Calls of which one side was seen yet, and whether that side knows of an answer.
        self._half_seen: OrderedDict[str, bool] = OrderedDict()

    @property
    def records(self) -> tuple[InvocationRecord, ...]:
        """The first records, at most ``kept_count``."""
        return tuple(self._records)

    @property
    def results(self) -> tuple[CallerResult, ...]:
        """The first results, at most ``kept_count``."""
        return tuple(self._results)

    def add_record(self, record: InvocationRecord) -> None:
        """Takes what the guest measured of one invocation."""
        if len(self._records) < self._kept_count:
            self._records.append(record)
        self._guest_latency.add(max(0.0, record.finished - record.started))
        self._by[record.strategy] += 1
        for phase, seconds in _sum_phases(record).items():
            self._phases.setdefault(phase, Histogram()).add(seconds)
        if (failed := find_failure(record)) is not None:
            self._failed[failed.phase] += 1
        has_replied = _has_replied(record)
        was_answered = self._meet(record.request_id, has_replied)
        if was_answered is False and has_replied:
            self._answered += 1
            self._results = [
                replace(each, answered=True) if each.request_id == record.request_id else each
                for each in self._results
            ]

    def add_result(self, result: CallerResult) -> None:
        """Takes what the caller got of one invocation."""
        if self._meet(result.request_id, result.answered) and not result.answered:
            result = replace(result, answered=True)
        if len(self._results) < self._kept_count:
            self._results.append(result)
        self._caller_latency.add(max(0.0, result.duration))
        self._answered += result.answered

    def knows_one_side(self, request_id: str) -> bool:
        """Whether a call was seen by the guest alone or by its caller alone, so far."""
        return request_id in self._half_seen

    def _meet(self, request_id: str, knows_answer: bool) -> bool | None:
        """Whether the other side of a call knows of an answer; None when it was not seen yet."""
        if request_id in self._half_seen:
            return self._half_seen.pop(request_id)
        self._half_seen[request_id] = knows_answer
        if len(self._half_seen) > self._kept_count:
            self._half_seen.popitem(last=False)
        return None

    def summarize(self) -> Measured:
        """Everything so far, in numbers."""
        told = self._caller_latency.count > 0
        return Measured(
            total=max(self._caller_latency.count, self._guest_latency.count),
            answered=self._answered if told else self._guest_latency.count,
            by={strategy: self._by[strategy] for strategy in Strategy if self._by[strategy]},
            latency=(self._caller_latency if told else self._guest_latency).summarize(),
            phases={p: self._phases[p].summarize() for p in Phase if p in self._phases},
            failed_phases={phase: self._failed[phase] for phase in Phase if self._failed[phase]},
        )


def _sum_phases(record: InvocationRecord) -> dict[Phase, float]:
    """Seconds per phase: a phase that was tried several times counts once, with its sum."""
    sums: dict[Phase, float] = {}
    for span in record.spans:
        sums[span.phase] = sums.get(span.phase, 0.0) + max(0.0, span.duration)
    return sums


def find_failure(record: InvocationRecord) -> Span | None:
    """The span at which the channel gave up; None when the developer answered, or none is told."""
    return None if record.strategy.is_developers else _find_decisive(record)


def find_setback(record: InvocationRecord) -> Span | None:
    """What kept the developer's answer back at first; None when nothing did, or it never came.

    What the guest's own repetitions overcame within one try is none.
    """
    is_later = record.strategy.is_developers and record.strategy is not Strategy.WORKER
    return _find_decisive(record) if is_later else None


def _find_decisive(record: InvocationRecord) -> Span | None:
    """The last failed span: what was repeated before it is overcome, or as good as the last.

    Not so when the guest then tried other ways: how those ended says nothing about the usual one,
    whose failure the guest's note begins with.
    """
    failed = [span for span in record.spans if span.outcome is not Outcome.OK]
    decisive = [span for span in failed if span.outcome is not Outcome.CANCELLED] or failed
    if _WENT_ON.search(record.note):
        usual = record.note.partition(":")[0]
        decisive = [span for span in decisive if span.phase == usual][:1] or decisive
    return decisive[-1] if decisive else None


def _has_replied(record: InvocationRecord) -> bool:
    """Whether the Runtime API took an answer from the guest."""
    return any(span.phase is Phase.REPLY and span.outcome is Outcome.OK for span in record.spans)
