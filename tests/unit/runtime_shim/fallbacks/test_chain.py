from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from event_protocol.phases import Outcome, Phase, Span, Strategy
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.fallbacks.chain import Chain
from runtime_shim.runtime_api import Answer, Invocation

INVOCATION = Invocation("id", {}, b"{}", received=0.0, deadline=1.0)
FAILURE = Failure(Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT, "connect.tcp", 3.0))


@dataclass
class Scripted:
    strategy: Strategy
    does_apply: bool = True
    reason: str = ""
    asked: list[str] = field(default_factory=list)
    is_closed: bool = False

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        self.asked.append("applies")
        return self.does_apply

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        self.asked.append("answer")
        if self.reason:
            raise CannotAnswer(self.reason)
        return Answer(self.strategy.encode())

    async def close(self) -> None:
        self.is_closed = True


async def test_the_first_that_applies_wins_and_the_rest_is_not_asked() -> None:
    first = Scripted(Strategy.DEPLOYED, does_apply=False)
    second, third = Scripted(Strategy.HTTP), Scripted(Strategy.ERROR)
    decision = await Chain([first, second, third]).answer(INVOCATION, FAILURE)
    assert (decision.strategy, decision.answer.body) == (Strategy.HTTP, b"http")
    assert first.asked == ["applies"]
    assert third.asked == []


async def test_one_without_an_answer_leaves_it_to_the_next_and_its_reason_in_the_note() -> None:
    chain = Chain([Scripted(Strategy.DEPLOYED, reason="it crashed"), Scripted(Strategy.ERROR)])
    decision = await chain.answer(INVOCATION, FAILURE)
    assert decision.strategy is Strategy.ERROR
    assert decision.note.startswith("connect: no answer")
    assert "deployed could not: it crashed" in decision.note
    assert decision.note.endswith("answered by error")


async def test_a_chain_must_end_with_one_that_answers() -> None:
    with pytest.raises(AssertionError):
        await Chain([Scripted(Strategy.HTTP, does_apply=False)]).answer(INVOCATION, FAILURE)


async def test_closing_ends_them_all() -> None:
    strategies = [Scripted(Strategy.DEPLOYED), Scripted(Strategy.ERROR)]
    await Chain(strategies).close()
    assert all(each.is_closed for each in strategies)
