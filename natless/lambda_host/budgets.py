"""The waits of an execution environment, each with the constant that it imitates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostBudgets:
    """Seconds.

    Attributes:
        init: how long a runtime may take until its first ``next`` (AWS Lambda developer guide:
            10 s for on-demand functions). Exceeded, it is tried once more inside the invocation.
        settle: how long a caller waits for an environment that has answered and is about to be
            idle, before another one is started for it.
        idle: without work for so long, an environment is ended, as Lambda does after a while that
            it does not tell. None: never.
        shutdown_runtime: from SIGTERM to SIGKILL for a runtime that has extensions beside it; one
            without is killed at once (AWS Lambda developer guide, "Lambda Extensions API").
        shutdown_internal: the same where all extensions are parts of the runtime.
        shutdown_external: until whatever is left of runtime and extensions is killed.
    """

    init: float = 10.0
    settle: float = 0.05
    idle: float | None = None
    shutdown_runtime: float = 0.3
    shutdown_internal: float = 0.5
    shutdown_external: float = 2.0
