"""Who made the containers of a lab, so that those of the dead can be told from those of the living.

A label names the owner: boot of the machine, process namespace, process id, and when that process
was started. An id alone would be taken again one day.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LAB = "natless.lab"
"""The label with the lab's own name, on everything that belongs to it."""

OWNER = "natless.owner"
"""The label with the owner."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process of some machine.

    Attributes:
        boot: the machine's boot id.
        namespace: of the process's id, such as ``pid:[4026531836]``.
        pid: its id in there.
        started: its start, in ticks since the boot.
    """

    boot: str
    namespace: str
    pid: int
    started: int

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(_boot(), _namespace(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The owner in a label, None when it is none of ours."""
        try:
            boot, namespace, pid, started = text.split("/")
            return cls(boot, namespace, int(pid), int(started))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.boot}/{self.namespace}/{self.pid}/{self.started}"

    def is_dead(self) -> bool:
        """Whether it has certainly ended; in another process namespace nobody can know."""
        if self.boot != _boot():
            return True
        return self.namespace == _namespace() and _started(self.pid) != self.started


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


def _started(pid: int) -> int | None:
    """Field 22 of ``/proc/PID/stat``; the name before it may hold anything, spaces too."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])
