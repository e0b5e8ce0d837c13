"""What a runtime says of its failure, as a developer wants to read it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from natless.lambda_host.invocation import Failure
from natless.lambda_host.output import Redactor
from natless.measure.function_error import blot

_NODE_FRAME = re.compile(r"File |at (?!.*\bnode:)")


def describe_failure(
    failure: Failure, *, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a runtime said about its failure: ``message``, and ``place`` if it named one.

    Args:
        failure: what went wrong.
        environment: the handler's; its secrets are blotted out, as an exception may quote them.
    """
    mask = Redactor(environment or {})
    return {name: blot(text, mask=mask) for name, text in _read(failure).items()}


def _read(failure: Failure) -> dict[str, str]:
    if failure.posted is None:
        return {"message": failure.message}
    try:
        body = json.loads(failure.posted.body)
        message = str(body["errorMessage"])
        place = _innermost(body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"message": failure.posted.body[:500].decode(errors="replace")}
    return {"message": message, "place": place} if place else {"message": message}


def _innermost(body: Mapping[str, Any]) -> str:
    """The frame where it happened: Python's last one, the first one of Node.js that is a file's."""
    frames = [str(frame).strip() for frame in body.get("stackTrace") or ()]
    if frames:
        return next((frame.splitlines()[0] for frame in reversed(frames) if frame), "")
    lines = [str(line).strip() for line in body.get("trace") or ()]
    return next((line for line in lines if _NODE_FRAME.match(line)), "")
