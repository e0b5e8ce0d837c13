"""The lines that Lambda itself writes into a function's log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from natless.lambda_host.spec import VERSION


def start_line(request_id: str) -> str:
    """An invocation begins."""
    return f"START RequestId: {request_id} Version: {VERSION}"


def end_line(request_id: str) -> str:
    """An invocation is over."""
    return f"END RequestId: {request_id}"


def timeout_line(request_id: str, *, wall: float, timeout: float) -> str:
    """The function's time is up, at ``wall`` seconds since 1970."""
    moment = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    return f"{moment.removesuffix('+00:00')}Z {request_id} {timeout_message(timeout)}"


def timeout_message(timeout: float) -> str:
    """How a timeout is told to the caller and to the log."""
    return f"Task timed out after {timeout:.2f} seconds"


def init_report_line(duration: float, *, phase: str, status: str, error_type: str = "") -> str:
    """An initialization failed; Lambda is silent about one that worked.

    Args:
        duration: seconds.
        phase: ``init``, or ``invoke`` when it was repeated inside an invocation.
        status: ``timeout`` or ``error``.
        error_type: for ``error``, such as ``Runtime.ExitError``.
    """
    line = f"INIT_REPORT Init Duration: {duration * 1000:.2f} ms\tPhase: {phase}\tStatus: {status}"
    return f"{line}\tError Type: {error_type}" if error_type else line


def extension_line(name: str, *, state: str, events: Sequence[str], error_type: str = "") -> str:
    """How far an extension came during the init phase.

    Args:
        name: its name.
        state: such as ``Ready``.
        events: what it asked to hear of.
        error_type: what it said went wrong.
    """
    line = f"EXTENSION\tName: {name}\tState: {state}\tEvents: [{', '.join(events)}]"
    return f"{line}\tError Type: {error_type}" if error_type else line


def report_line(
    request_id: str,
    *,
    duration: float,
    memory: int,
    peak_bytes: int | None,
    init_duration: float | None = None,
    status: str = "",
    error_type: str = "",
) -> str:
    """The account of one invocation.

    Args:
        request_id: whose.
        duration: seconds from START until the runtime was idle again or gone.
        memory: MB that were configured.
        peak_bytes: what the runtime took at most; None when it is unknown.
        init_duration: seconds, only for an environment's first invocation.
        status: ``timeout`` or ``error``, empty when all went well.
        error_type: for ``error``.
    """
    billed = duration + (init_duration or 0.0)  # INIT is billed since 2025-08 (AWS Compute Blog)
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration * 1000:.2f} ms",
        f"Billed Duration: {math.ceil(billed * 1000)} ms",
        f"Memory Size: {memory} MB",
    ]
    if peak_bytes is not None:
        parts.append(f"Max Memory Used: {math.ceil(peak_bytes / 2**20)} MB")
    if init_duration is not None:
        parts.append(f"Init Duration: {init_duration * 1000:.2f} ms")
    if status:
        parts.append(f"Status: {status}")
    if error_type:
        parts.append(f"Error Type: {error_type}")
    return "\t".join(parts)
