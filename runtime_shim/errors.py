"""What can go wrong in the guest.

::

    ShimError
    ├── ConfigError        the environment lacks something, or holds something impossible
    ├── RuntimeApiLost     nobody to take an invocation from, or to give an answer to
    ├── BridgeExit         SST's bridge would end here, with exit status 0
    └── PhaseFailed        a phase of a call did not end well: .span, .phase, .elapsed
    Obstacle               inside a phase, before it is a span: .outcome and its .facts

No message holds a key, a token or the body of an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from event_protocol.phases import Outcome, Phase, Span


class ShimError(Exception):
    """The root of the guest's errors."""


class ConfigError(ShimError):
    """The environment lacks something, or holds something impossible."""


class RuntimeApiLost(ShimError):
    """The Runtime API is gone, or says what no runtime can go on with."""


class BridgeExit(ShimError):
    """SST's bridge would log this and end with exit status 0."""


class PhaseFailed(ShimError):
    """A phase of a call did not end well; the span says how, and a fallback has to answer.

    Attributes:
        span: the phase, measured.
        is_accepted: whether the developer's side had taken the event before.
    """

    def __init__(self, span: Span, *, is_accepted: bool = False) -> None:
        super().__init__(f"{span.phase}: {span.outcome} after {span.duration:.3f} s")
        self.span = span
        self.is_accepted = is_accepted

    @property
    def phase(self) -> Phase:
        """The phase that failed."""
        return self.span.phase

    @property
    def elapsed(self) -> float:
        """Seconds that the phase took until it failed."""
        return self.span.duration


class Obstacle(Exception):
    """Why a phase cannot go on, in the words of a span.

    Attributes:
        outcome: how the phase ends.
        facts: what becomes the span's ``detail``.
    """

    def __init__(self, outcome: Outcome, **facts: Any) -> None:  # noqa: ANN401  facts are any JSON
        super().__init__(f"{outcome} {facts}" if facts else str(outcome))
        self.outcome = outcome
        self.facts: Mapping[str, Any] = facts
