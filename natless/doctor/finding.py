"""What a check saw, and what that is needed for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"  # it works, or may be gone around; somebody should know
    LACKS = "lacks"  # it was tried and does not work
    SKIPPED = "skipped"  # it could not be tried, for a reason that is told


class Ability(StrEnum):
    """What a machine can do for somebody who wants to use natless."""

    DEMO = "demo"  # by one of the next two: the demo takes whichever is there
    NETNS = "netns"
    DOCKER = "docker"
    COMPOSE = "compose"

    @property
    def command(self) -> str:
        """What one types for it."""
        return _COMMANDS[self]


_COMMANDS = {
    Ability.DEMO: "natless demo",
    Ability.NETNS: "natless demo --network netns",
    Ability.DOCKER: "natless demo --network docker",
    Ability.COMPOSE: "docker compose up",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one check saw.

    Attributes:
        state: how it ended.
        said: what was seen, one sentence without a full stop.
        fix: what to do when it lacks or warns: a command where there is one.
    """

    state: State
    said: str
    fix: str = ""

    @classmethod
    def ok(cls, said: str) -> Seen:
        """It works."""
        return cls(State.OK, said)

    @classmethod
    def warning(cls, said: str, fix: str) -> Seen:
        """It works, but."""
        return cls(State.WARNING, said, fix)

    @classmethod
    def lacks(cls, said: str, fix: str) -> Seen:
        """It does not work."""
        return cls(State.LACKS, said, fix)

    @classmethod
    def skipped(cls, said: str) -> Seen:
        """It could not be tried."""
        return cls(State.SKIPPED, said)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    Attributes:
        name: what was tried, in a word or two.
        state: how it ended.
        said: what was seen.
        fix: what to do when it lacks or warns.
        needed_for: what does not work without it.
    """

    name: str
    state: State
    said: str
    fix: str = ""
    needed_for: tuple[Ability, ...] = ()

    @property
    def is_in_the_way(self) -> bool:
        """Whether what needs it does not work. A lack that could not be looked for is one."""
        return self.state in (State.LACKS, State.SKIPPED)
