"""What the explaining ends in: one sentence of cause, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from event_protocol.phases import Phase


class Hop(StrEnum):
    """The place on the way of a packet at which a call ended."""

    NONE = "none"  # it did not end
    FUNCTION = "function"  # in the execution environment itself
    RESOLVER = "resolver"  # the VPC's resolver, or the way to it
    ROUTER = "router"  # the subnet's way out: route table, network ACL, security group, NAT
    ENDPOINT = "endpoint"  # an address inside the VPC that stands for the service
    CHANNEL = "channel"  # AppSync, or whoever answers at its address
    WORKER = "worker"  # the developer's machine
    HANDLER = "handler"  # the developer's code


class Certainty(StrEnum):
    """How far the evidence reaches."""

    PROVEN = "proven"  # the network's own facts are known, or nothing else shows this picture
    LIKELY = "likely"  # the usual cause of this picture; the candidates say how to be sure
    ALIKE = "alike"  # several causes look the same from inside the function
    OPEN = "open"  # no cause of ours fits


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several causes that look the same from inside the function.

    Attributes:
        cause: its name, as ``natless`` uses it everywhere.
        text: what it would mean.
        check: how to tell it from the others.
    """

    cause: str
    text: str
    check: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cause, with the next step and the evidence behind it.

    Attributes:
        cause: a stable name such as ``no-route-out``; also the anchor of its documentation.
        works: whether there was nothing to complain about.
        phase: the phase in which calls ended, None if they did not end in one.
        hop: where they ended.
        sentence: phase, hop, cause and next step, for a reader who reads nothing else.
        next_steps: what would help, the most useful first.
        evidence: the observations that carry the sentence, one a line.
        certainty: how far these reach.
        candidates: what else would show this picture, the most frequent first.
        excerpt: lines of the developer's own output that show it, such as the end of a traceback.
    """

    cause: str
    sentence: str
    works: bool = False
    phase: Phase | None = None
    hop: Hop = Hop.NONE
    next_steps: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    certainty: Certainty = Certainty.PROVEN
    candidates: tuple[Candidate, ...] = ()
    excerpt: tuple[str, ...] = ()

    @property
    def documentation(self) -> str:
        """The page and anchor that say more, relative to the documentation's root."""
        return f"reference/verdicts.html#{self.cause}"
