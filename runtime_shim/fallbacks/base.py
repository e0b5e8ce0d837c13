"""What a fallback is: another way to answer when the channel did not bring an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from event_protocol.phases import Span, Strategy
from runtime_shim.routes import Route
from runtime_shim.runtime_api import Answer, Invocation


class Channel(Protocol):
    """The developer's side, for one invocation, to those that may ask it once more."""

    async def ask(self, *, route: Route | None = None) -> Answer:
        """Asks again, by another route if one is given. Raises ``PhaseFailed``."""

    def cancel(self, span: Span) -> None:
        """Says that somebody else answers now, if the developer's side knows the word."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the channel did not answer.

    Attributes:
        span: the phase that did not end well.
        is_accepted: whether the developer's side had taken the event before.
        channel: asks the developer's side once more; None when that is out of the question.
        remark: what the record says in place of the phase's own sentence, or nothing.
    """

    span: Span
    is_accepted: bool = False
    channel: Channel | None = None
    remark: str = ""


class CannotAnswer(Exception):
    """A fallback applied and still has no answer; its text says why, in one clause.

    Attributes:
        failure: what the next strategy has to answer, if the fallback asked the channel and that
            ended otherwise than before.
    """

    def __init__(self, reason: str, *, failure: Failure | None = None) -> None:
        super().__init__(reason)
        self.failure = failure


class NoAnswer(Exception):
    """Nobody answers, on purpose: the guest asks for the event again after ``pause`` seconds.

    An infinite pause waits until Lambda ends the environment.
    """

    def __init__(self, pause: float) -> None:
        super().__init__(f"asks for the event again in {pause} s")
        self.pause = pause


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
            NoAnswer: there shall be none.
        """

    async def close(self) -> None:
        """Ends whatever it runs."""
