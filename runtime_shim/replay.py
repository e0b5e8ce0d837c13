"""Brings kept events to the developer's side, once that has answered a call.

::

    answered ─▶ take ─▶ ask ─┬─ answered: the file is removed
                  ▲          ├─ its handler raised: the file is set aside
                  └──────────┤
                             ├─ not published: it waits again            and nothing more for now
                             └─ taken, no answer: left on its way        it is asked for again later

After the answer and before the next event is asked for: only then does Lambda let a function run.
Each event keeps its request id. The developer's side answers one that it has answered before
without running it again, so a guest that ends between the answer and the removal repeats nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from event_protocol.live import KEPT_HEADER, Feature
from event_protocol.phases import Phase, Span
from runtime_shim.breaker import OPENING
from runtime_shim.budgets import Allowance
from runtime_shim.channel import DeveloperChannel, Question
from runtime_shim.config import ShimConfig
from runtime_shim.errors import PhaseFailed
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span
from runtime_shim.spool import KeptEvent, Spool
from runtime_shim.timing import SpanLog

_DEADLINE = "lambda-runtime-deadline-ms"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one kept event.

    Attributes:
        invocation: as it was put to the developer's side.
        spans: what it took.
        note: one sentence.
    """

    invocation: Invocation
    spans: tuple[Span, ...]
    note: str


class Replay:
    """The spool's way out.

    Args:
        config: where it is, and for how long it may be emptied at a time.
        channel: asks the developer's side.
    """

    def __init__(self, config: ShimConfig, channel: DeveloperChannel) -> None:
        self._spool = Spool(config.spool, max_bytes=config.spool_bytes)
        self._config = config
        self._channel = channel

    async def run(self, deadline: float) -> AsyncIterator[Replayed]:
        """Brings events until there is none, time is over, or one cannot be brought.

        Args:
            deadline: monotonic seconds at which Lambda ends the invocation that goes on.
        """
        until = min(deadline, time.monotonic() + self._config.budgets.spool_replay)
        reserve = self._config.budgets.answer_reserve
        while until - reserve > time.monotonic():
            event = self._spool.take(self._config.worker_id)
            if event is None:
                return
            invocation, spans = _revive(event, deadline=until), SpanLog()
            allowance = Allowance(self._config.budgets, until)
            question = Question(invocation, allowance, spans)
            try:
                answer, _ = await self._channel.ask(question)
            except PhaseFailed as failed:
                self._keep(event, failed)
                note = f"a kept event was not answered: {explain_span(failed.span).sentence}"
                yield Replayed(invocation, tuple(spans.spans), note)
                return
            yield Replayed(invocation, tuple(spans.spans), self._settle(event, answer))

    def _settle(self, event: KeptEvent, answer: Answer) -> str:
        waited = f"an event kept for {max(0.0, time.time() - event.kept):.0f} s"
        if answer.is_error:
            self._spool.set_aside(event)
            return f"{waited}: its handler failed with {answer.error_type or 'an error'}"
        self._spool.finish(event)
        return f"{waited} was answered by the developer's side"

    def _keep(self, event: KeptEvent, failed: PhaseFailed) -> None:
        """An event that was published may be at work over there; any other waits again.

        A side that never said it knows repeats would run it once more, so it is not left on its
        way: then it is set aside.
        """
        if failed.phase in OPENING or (failed.phase is Phase.PUBLISH and not failed.is_accepted):
            self._spool.put_back(event)
        elif Feature.REPEAT not in self._channel.agreement.features and failed.is_accepted:
            self._spool.set_aside(event)
        elif not failed.is_accepted:
            self._spool.put_back(event)
        else:
            self._spool.let_others_go_first(event)


def _revive(event: KeptEvent, *, deadline: float) -> Invocation:
    """The invocation anew; only its time is another."""
    now = time.monotonic()
    deadline_ms = str(round((time.time() + deadline - now) * 1000))
    headers = {k: v for k, v in event.headers.items() if k.lower() != _DEADLINE}
    headers |= {"Lambda-Runtime-Deadline-Ms": deadline_ms, KEPT_HEADER: f"{event.kept:.3f}"}
    return Invocation(event.request_id, headers, event.body, received=now, deadline=deadline)
