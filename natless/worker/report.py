"""What a guest has measured, as a fact of the worker's journal."""

from __future__ import annotations

from typing import Any

from event_protocol.phases import InvocationRecord, Outcome


def describe_record(record: InvocationRecord) -> dict[str, Any]:
    """One invocation as its guest saw it: who answered, how long it took, each phase in turn."""
    return {
        "worker_id": record.worker_id,
        "request_id": record.request_id,
        "strategy": str(record.strategy),
        "cold": record.cold,
        "seconds": round(record.finished - record.started, 6),
        "note": record.note,
        "phases": [
            {
                "phase": str(span.phase),
                "seconds": round(span.duration, 6),
                **({} if span.outcome is Outcome.OK else {"outcome": str(span.outcome)}),
            }
            for span in record.spans
        ],
    }
