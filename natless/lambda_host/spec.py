"""What a function is, and what a caller gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT = "123456789012"  # the account of AWS's own examples
VERSION = "$LATEST"
LONGEST = 900.0  # seconds; AWS Lambda quotas, function timeout

# A managed runtime looks at the variable in its own start script, with these words and statuses.
_THROUGH_WRAPPER = """wrapper=$AWS_LAMBDA_EXEC_WRAPPER
if [ ! -f "$wrapper" ]; then echo "$wrapper: does not exist"; exit 127; fi
if [ ! -x "$wrapper" ]; then echo "$wrapper: is not an executable"; exit 126; fi
exec "$wrapper" "$@"
"""


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
        extensions: a folder whose files are started beside the runtime as external extensions:
            what ``/opt/extensions`` is on AWS.
        freeze: whether nothing of it runs between invocations, as on AWS.
        takes_wrapper: whether its runtime is a managed one, which starts through the program that
            ``AWS_LAMBDA_EXEC_WRAPPER`` names. An OS-only runtime does not, and an image decides
            for itself.
        streams_url: whether its URL answers while the function still writes, AWS's ``InvokeMode``
            ``RESPONSE_STREAM``; otherwise ``BUFFERED``.
        aliases: qualifiers besides ``$LATEST`` by which it may be called; all mean the same code.
    """

    name: str
    handler: str
    task_root: Path
    bootstrap: tuple[str, ...]
    timeout: float = 20.0
    memory: int = 1024
    environment: Mapping[str, str] = field(default_factory=dict)
    region: str = "us-east-1"
    extensions: Path | None = None
    freeze: bool = True
    takes_wrapper: bool = False
    streams_url: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """What is started: the bootstrap, behind the wrapper if there is one."""
        wrapper = self.environment.get("AWS_LAMBDA_EXEC_WRAPPER", "")
        if not (self.takes_wrapper and wrapper):
            return self.bootstrap
        return ("/bin/sh", "-c", _THROUGH_WRAPPER, "bootstrap", *self.bootstrap)

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
        error_type: of a function error, as the runtime or Lambda named it; else empty.
        streamed_bytes: how many bytes a sink was given before; then the payload is the error that
            ended the stream, or empty. None when the payload is all there is.
        frozen: seconds for which the environment had been frozen before; None when it was not.
    """

    status: int
    payload: bytes
    function_error: str | None
    request_id: str
    executed_version: str
    log_tail: bytes
    started: float
    finished: float
    error_type: str = ""
    streamed_bytes: int | None = None
    frozen: float | None = None

    @property
    def duration(self) -> float:
        """Seconds that the caller waited."""
        return self.finished - self.started
