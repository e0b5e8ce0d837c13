"""The causes, one a file: ``explain(evidence)`` gives a verdict, or None when it is another one.

The order matters only where two could speak about the same evidence: the more special one comes
first. A new cause is a new file, a line here and a test; ``unknown`` stays outside, as the end.
"""

from __future__ import annotations

from collections.abc import Callable

from natless.explain.causes import (
    endpoint_refuses,
    endpoint_silent,
    handler_error,
    syn_unanswered,
    unknown,
    works,
)
from natless.explain.evidence import Evidence
from natless.explain.verdict import Verdict

Cause = Callable[[Evidence], Verdict | None]

CAUSES: tuple[Cause, ...] = (
    handler_error.explain,
    works.explain,
    syn_unanswered.explain,
    endpoint_silent.explain,
    endpoint_refuses.explain,
)

__all__ = ["CAUSES", "Cause", "unknown"]
