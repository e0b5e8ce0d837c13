"""How a duration is written for a person."""

from __future__ import annotations

import math


def humanize(seconds: float) -> str:
    """Seconds as a reader says them: ``0.4 ms``, ``9 ms``, ``3.0 s``, ``2 min 14 s``.

    The unit is chosen after rounding, so that 0.9996 s is ``1.0 s`` and never ``1000 ms``.
    """
    if not math.isfinite(seconds):
        return "never"
    milliseconds = seconds * 1000
    if milliseconds < 0.05:
        return "0 ms"
    if milliseconds < 0.95:
        return f"{milliseconds:.1f} ms"
    if round(milliseconds) < 1000:
        return f"{round(milliseconds)} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
