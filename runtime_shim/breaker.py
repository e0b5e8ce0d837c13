"""The circuit breaker: after some failures to connect in a row, not to try for a while.

::

    closed ──n failures in a row──▶ open ──the pause is over──▶ one try ──it fails──▶ open again
                                                                       └──it works──▶ closed
"""

from __future__ import annotations

from dataclasses import dataclass

from event_protocol.phases import Phase, Span
from runtime_shim.errors import ConfigError

OPENING = frozenset(
    {
        Phase.RESOLVE,
        Phase.CONNECT,
        Phase.TLS,
        Phase.UPGRADE,
        Phase.INIT,
        Phase.SUBSCRIBE,
        Phase.PROBE,
    }
)
"""The phases that open a channel."""


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When to stop trying: after so many failures in a row, for so many seconds."""

    failures: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> BreakerRule | None:
        """``3:30`` as a rule; None for an empty text and for ``off``.

        Raises:
            ConfigError: anything else.
        """
        if text in ("", "off"):
            return None
        count, _, seconds = text.partition(":")
        try:
            rule = cls(int(count), float(seconds))
        except ValueError:
            rule = cls(0, 0.0)
        if rule.failures < 1 or not 0 < rule.seconds < 86_400:
            raise ConfigError(f"NATLESS_BREAKER is {text!r}, not off and not failures:seconds")
        return rule


class Breaker:
    """Counts what happened on one environment's channel. All times are seconds of one clock.

    The clock should be the wall's: a frozen environment's own timers do not run.
    """

    def __init__(self, rule: BreakerRule | None) -> None:
        self._rule = rule
        self._count = 0
        self._opened = 0.0
        self._last: Span | None = None

    def blocked_by(self, *, now: float) -> tuple[Span, str] | None:
        """The failure that keeps the channel closed, and a clause about it; None: try."""
        rule, last = self._rule, self._last
        if rule is None or last is None or self._count < rule.failures:
            return None
        left = self._opened + rule.seconds - now
        if not 0 < left <= rule.seconds:  # over, or the clock was set
            return None
        return last, (
            f"not tried: {self._count} failures in a row opened the circuit breaker,"
            f" for another {left:.1f} s"
        )

    def note_failure(self, span: Span, *, now: float) -> None:
        """A call failed. Only a channel that cannot be opened counts, any other was open."""
        if span.phase not in OPENING:
            self.note_success()
            return
        self._count += 1
        self._last = span
        self._opened = now

    def note_success(self) -> None:
        """The channel was open."""
        self._count = 0
        self._last = None
