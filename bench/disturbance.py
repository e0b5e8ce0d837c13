"""How much of the machine others used while a load ran."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
LIMIT = 0.15  # of one core; a measurement above it is repeated once


class Watch:
    """Counts from its making on.

    Args:
        pid: the server, which is no stranger; nor are this process and the children it has ended.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._started = time.monotonic()
        self._busy, self._own = _busy_seconds(), self._own_seconds()

    def foreign(self) -> float:
        """Cores that others used, on average."""
        seconds = max(time.monotonic() - self._started, 1 / TICKS)
        used = _busy_seconds() - self._busy - (self._own_seconds() - self._own)
        return max(0.0, used / seconds)

    def _own_seconds(self) -> float:
        seconds = processor_seconds(self._pid)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            seconds += usage.ru_utime + usage.ru_stime
        return seconds


def processor_seconds(pid: int) -> float:
    """What all threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _busy_seconds() -> float:
    """What all processors of the machine did together (proc(5): user nice system … irq softirq)."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq, *_ = map(int, fields)
    return (user + nice + system + irq + softirq) / TICKS
