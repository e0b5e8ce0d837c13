"""Where the outcome of an asynchronous invocation goes, and in which words.

AWS Lambda developer guide, "Retaining records of asynchronous invocations": the record of a
destination, version 1.0, its conditions, and the limits of retries and age.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from natless.lambda_host.spec import VERSION, InvokeResult


class Condition(StrEnum):
    """Why an event is done with."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"


@dataclass(frozen=True, slots=True)
class EventConfig:
    """How a function's asynchronous invocations are treated.

    Attributes:
        on_success: where the record of a success goes: a function of the same service, by name or
            ARN, or a file, by a path with a slash in it. Empty: nowhere.
        on_failure: likewise for an event that is given up.
        retries: how often it is tried again after an error of the function, 0 to 2.
        event_age: seconds after which it is given up, 60 to 21,600.
    """

    on_success: str = ""
    on_failure: str = ""
    retries: int = 2
    event_age: float = 6 * 3600.0

    def target(self, condition: Condition) -> str:
        """Where the record of such an end goes; empty for nowhere."""
        return self.on_success if condition is Condition.SUCCESS else self.on_failure


def encode_record(
    *,
    arn: str,
    request_id: str,
    payload: bytes,
    condition: Condition,
    invoke_count: int,
    result: InvokeResult | None,
    wall: float,
) -> bytes:
    """What a destination gets.

    Args:
        arn: the function's, unqualified.
        request_id: the event's.
        payload: the event.
        condition: why it is done with.
        invoke_count: how often the function was run.
        result: of the last run; None if there was none.
        wall: seconds since 1970.
    """
    moment = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": moment.removesuffix("+00:00") + "Z",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{arn}:{VERSION}",
            "condition": str(condition),
            "approximateInvokeCount": invoke_count,
        },
        "requestPayload": _decode(payload),
    }
    if result is not None:
        record["responseContext"] = {
            "statusCode": result.status,
            "executedVersion": result.executed_version,
            **({"functionError": result.function_error} if result.function_error else {}),
        }
        record["responsePayload"] = _decode(result.payload)
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def append_record(path: Path, record: bytes) -> None:
    """Adds a record to a file of JSON lines.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("ab") as file:
        file.write(record + b"\n")


def _decode(payload: bytes) -> Any:  # noqa: ANN401  any JSON
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")
