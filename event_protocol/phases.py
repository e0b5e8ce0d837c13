"""The names of the phases of a call, shared by all who measure.

A call through the channel is cut into named stretches. The guest in the function measures them, the
worker and the relay add what only they can see, and reports draw them as one waterfall: every
process of one machine reads the same monotonic clock, so no clock has to be aligned.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """A named stretch of a call, in the order in which a cold call meets them."""

    RESOLVE = "resolve"  # name to addresses
    CONNECT = "connect"  # TCP, SYN to established
    TLS = "tls"
    UPGRADE = "upgrade"  # HTTP GET to 101
    INIT = "init"  # connection_init to connection_ack
    SUBSCRIBE = "subscribe"  # subscribe to subscribe_success
    PROBE = "probe"  # an event to our own channel, until it is back: the subscription is live
    PUBLISH = "publish"  # publish to publish_success
    DELIVER = "deliver"  # accepted by the channel, until the developer's side says it has it
    HANDLE = "handle"  # the handler runs on the developer's machine
    REPLY = "reply"  # the answer's way back into the Runtime API


class Outcome(StrEnum):
    """How a phase ended."""

    OK = "ok"
    TIMEOUT = "timeout"  # the phase's budget ran out and nobody had answered
    REFUSED = "refused"  # ECONNREFUSED: somebody sent a reset to the SYN
    RESET = "reset"  # ECONNRESET: an established connection was cut
    UNREACHABLE = (
        "unreachable"  # EHOSTUNREACH, ENETUNREACH, EACCES: said by a router or by the kernel
    )
    NAME_NOT_FOUND = "name-not-found"  # NXDOMAIN, or a name with no address
    NAME_TIMEOUT = "name-timeout"  # no resolver answered, or it answered SERVFAIL (EAI_AGAIN)
    TLS_ERROR = "tls-error"  # a certificate or protocol error during the handshake
    HTTP_ERROR = "http-error"  # the upgrade or a publish was answered with another status
    DENIED = "denied"  # connection_error, subscribe_error, publish_error
    CLOSED = "closed"  # the peer closed the channel while we waited
    CANCELLED = "cancelled"  # the invocation ended first


@dataclass(frozen=True, slots=True)
class Span:
    """One phase of one call, measured.

    Attributes:
        phase: which stretch.
        started: monotonic seconds.
        finished: monotonic seconds, at least ``started``.
        outcome: how it ended.
        budget: the name of the wait that bounded it, such as ``connect.tcp``; empty when none did.
        budget_seconds: what that wait allowed; 0 when there was none.
        detail: facts of the phase: ``host``, ``addresses``, ``address``, ``port``, ``errno``,
            ``status``, ``message``, ``bytes``, ``attempt``. Never a secret.
    """

    phase: Phase
    started: float
    finished: float
    outcome: Outcome = Outcome.OK
    budget: str = ""
    budget_seconds: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.finished - self.started


class Strategy(StrEnum):
    """Who produced the answer of an invocation."""

    WORKER = "worker"  # the developer's code, over the channel
    DEPLOYED = "deployed"  # the code in the container
    HTTP = "http"  # an HTTP-shaped answer that says what happened
    ERROR = "error"  # an error posted to the Runtime API
    RETRY = "retry"  # the developer's code, after the publish was repeated
    ROUTE = "route"  # the developer's code, over another host, proxy or address family
    POLL = "poll"  # the developer's code, its answer fetched over HTTP where WebSockets are blocked
    STATIC = "static"  # a payload that was configured
    OK = "ok"  # nobody: the event is kept in a file, and its source is told it is done
    PARTIAL = "partial"  # nobody: the source is told to deliver every record again
    OBSERVE = "observe"  # the code in the container; the developer's side only got a copy
    SST_TEXT = "sst_text"  # SST's own sentence, with a status that API Gateway accepts
    FAITHFUL = "faithful"  # what SST's bridge does; it may be no answer at all

    @property
    def is_developers(self) -> bool:
        """Whether the developer's code answered, if only at a second try or by another way."""
        return self in (Strategy.WORKER, Strategy.RETRY, Strategy.ROUTE, Strategy.POLL)


@dataclass(frozen=True, slots=True)
class InvocationRecord:
    """Everything the guest measured of one invocation: what leaves it as one structured log line.

    Attributes:
        request_id: the invocation's id.
        worker_id: the execution environment, 32 characters.
        cold: whether the channel had to be opened for it.
        strategy: who answered.
        started: monotonic seconds at which the Runtime API handed the event out.
        finished: monotonic seconds at which the Runtime API took the answer.
        spans: the phases, in order of their start. The failed one, if any, has another outcome
            than ``ok``.
        note: one sentence about a fallback, empty when the channel answered.
    """

    request_id: str
    worker_id: str
    cold: bool
    strategy: Strategy
    started: float
    finished: float
    spans: tuple[Span, ...]
    note: str = ""


MARK = "NATLESS-INVOCATION "


def encode_record(record: InvocationRecord) -> str:
    """The record as one log line: :data:`MARK`, then JSON. No newline at its end."""
    return MARK + json.dumps(
        {
            "v": 1,
            "request_id": record.request_id,
            "worker_id": record.worker_id,
            "cold": record.cold,
            "strategy": record.strategy,
            "started": record.started,
            "finished": record.finished,
            "note": record.note,
            "spans": [
                {
                    "phase": span.phase,
                    "started": span.started,
                    "finished": span.finished,
                    "outcome": span.outcome,
                    "budget": span.budget,
                    "budget_seconds": span.budget_seconds,
                    "detail": dict(span.detail),
                }
                for span in record.spans
            ],
        },
        separators=(",", ":"),
    )


def decode_record(line: str) -> InvocationRecord | None:
    """A log line back to the record; None for any other line.

    The handler shares the log, so a line with the mark may be anything: numbers that JSON does not
    have are refused, for they would go on into every report.

    Raises:
        ValueError: the line has the mark but is not a record.
    """
    if not line.startswith(MARK):
        return None
    try:
        raw = json.loads(line[len(MARK) :], parse_constant=_refuse, parse_float=_parse_finite)
        return InvocationRecord(
            request_id=str(raw["request_id"]),
            worker_id=str(raw["worker_id"]),
            cold=bool(raw["cold"]),
            strategy=Strategy(raw["strategy"]),
            started=float(raw["started"]),
            finished=float(raw["finished"]),
            note=str(raw["note"]),
            spans=tuple(
                Span(
                    phase=Phase(span["phase"]),
                    started=float(span["started"]),
                    finished=float(span["finished"]),
                    outcome=Outcome(span["outcome"]),
                    budget=str(span["budget"]),
                    budget_seconds=float(span["budget_seconds"]),
                    detail=dict(span["detail"]),
                )
                for span in raw["spans"]
            ),
        )
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise ValueError(f"not an invocation record: {error!r}") from error


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
