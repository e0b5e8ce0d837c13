"""Whether this machine can do what natless does: every check tries the thing itself."""

from __future__ import annotations

from natless.doctor.examination import CHECKS, Check, Conclusion, conclude, examine
from natless.doctor.finding import Ability, Finding, Seen, State
from natless.doctor.leftovers import sweep

__all__ = [
    "CHECKS",
    "Ability",
    "Check",
    "Conclusion",
    "Finding",
    "Seen",
    "State",
    "conclude",
    "examine",
    "sweep",
]
