"""What a function is, and what a caller gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT = "123456789012"  # the account of AWS's own examples
VERSION = "$LATEST"


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function as it was configured.

    Attributes:
        name: its name; part of its ARN and of its log group.
        handler: ``module.function`` for Python, whatever the runtime makes of it otherwise.
        task_root: the folder with its code.
        bootstrap: the command that starts its runtime.
        timeout: seconds one invocation may take; Lambda allows 1 to 900.
        memory: MB; told to the runtime, not enforced.
        environment: the function's own variables. Unlike on AWS they may override reserved ones,
            which is how credentials and log streams are chosen.
        region: the AWS region it believes to be in.
    """

    name: str
    handler: str
    task_root: Path
    bootstrap: tuple[str, ...]
    timeout: float = 20.0
    memory: int = 1024
    environment: Mapping[str, str] = field(default_factory=dict)
    region: str = "us-east-1"

    @property
    def arn(self) -> str:
        """The function's ARN, unqualified."""
        return f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{self.name}"


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """What the caller of ``Invoke`` gets.

    Attributes:
        status: the HTTP status: 200 also for function errors, 429 when throttled, 413 too large.
        payload: the answer's bytes.
        function_error: ``Unhandled`` when the payload describes an error of the function.
        request_id: the invocation's id.
        executed_version: ``$LATEST``; empty when nothing was executed.
        log_tail: the last 4 KB of its log, if that was asked for.
        started: monotonic seconds at which the invocation was accepted.
        finished: monotonic seconds at which the answer was there.
    """

    status: int
    payload: bytes
    function_error: str | None
    request_id: str
    executed_version: str
    log_tail: bytes
    started: float
    finished: float

    @property
    def duration(self) -> float:
        """Seconds that the caller waited."""
        return self.finished - self.started
