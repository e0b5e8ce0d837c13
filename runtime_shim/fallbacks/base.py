"""What a fallback is: another way to answer when the channel did not bring an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from event_protocol.phases import Span, Strategy
from runtime_shim.runtime_api import Answer, Invocation


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the channel did not answer.

    Attributes:
        span: the phase that did not end well.
        is_accepted: whether the developer's side had taken the event before.
    """

    span: Span
    is_accepted: bool = False


class CannotAnswer(Exception):
    """A fallback applied and still has no answer; its text says why, in one clause."""


class Fallback(Protocol):
    """One strategy. It must leave nothing behind that could answer later."""

    @property
    def strategy(self) -> Strategy:
        """Its name in a record."""

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether it makes sense to ask."""

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """The answer.

        Raises:
            CannotAnswer: there is none; the next strategy is asked.
        """

    async def close(self) -> None:
        """Ends whatever it runs."""
