"""Answers with the code in the container, and lets the developer's side have a copy of the event.

::

    event ─┬─▶ the code in the container ─▶ the answer
           └─▶ the developer's side        ─▶ compared with it, and dropped

The copy never delays the answer: it is waited for when the caller has its own. The developer's code
runs for real, so what it writes elsewhere is written twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from event_protocol.phases import Outcome, Phase, Span, Strategy
from runtime_shim.errors import PhaseFailed
from runtime_shim.fallbacks.base import Failure, Fallback
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span


class ObserveFallback:
    """The code in the container under another name.

    Args:
        deployed: what runs it.
    """

    strategy = Strategy.OBSERVE

    def __init__(self, deployed: Fallback) -> None:
        self._deployed = deployed

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether there is code to run."""
        return self._deployed.applies(invocation, failure)

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """What the code answers. Raises ``CannotAnswer`` if it does not."""
        return await self._deployed.answer(invocation, failure)

    async def close(self) -> None:
        """Ends the code's process."""
        await self._deployed.close()


def observed(now: float) -> Failure:
    """What the strategies are asked about when nothing has failed: the channel may not answer."""
    detail = {"message": "the code in the container is to answer, and the developer's side is not"}
    span = Span(Phase.HANDLE, now, now, Outcome.CANCELLED, detail=detail)
    return Failure(span, remark="observed")


class Copy:
    """The copy of one event on its way to the developer's side.

    Args:
        asking: brings the developer's answer.
    """

    def __init__(self, asking: Coroutine[Any, Any, Answer]) -> None:
        self._task = asyncio.create_task(asking, name="copy")

    async def describe(self, answer: Answer, *, seconds: float) -> str:
        """One clause about the developer's answer, waited for at most so long, then dropped."""
        await asyncio.wait({self._task}, timeout=seconds)
        if not self._task.done():
            await self.drop()
            return "the developer's side has not answered the copy yet"
        error = self._task.exception()
        if isinstance(error, PhaseFailed):
            return f"the copy failed: {explain_span(error.span).sentence}"
        if error is not None:
            raise error
        is_same = _value(self._task.result()) == _value(answer)
        return f"the developer's side answers the copy {'alike' if is_same else 'otherwise'}"

    async def drop(self) -> None:
        """Stops waiting for it."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # looked at, so that nobody complains


def _value(answer: Answer) -> tuple[bool, Any]:
    """Answers are alike when their JSON is; what is no JSON, when its bytes are."""
    try:
        return answer.is_error, json.loads(answer.body)
    except ValueError:
        return answer.is_error, answer.body
