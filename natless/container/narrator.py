"""Tells in the log of the control container what happens, one line for each call."""

from __future__ import annotations

import asyncio
import textwrap

from event_protocol.phases import Strategy
from natless.container.dev_loop import DevLoop
from natless.journal import Fact
from natless.measure.durations import humanize

_WIDTH = 96


class Narrator:
    """Listens to the journal and prints what a developer wants to see."""

    def __init__(self, loop: DevLoop) -> None:
        self._loop = loop
        self._last_cause = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, fact: Fact) -> None:
        """One fact of the journal."""
        match fact.kind:
            case "vpc.topology.applied":
                self._last_cause = ""
                seconds = humanize(float(fact.data["seconds"]))
                _say(f"the network is now {fact.data['topology']!r} ({seconds})")
            case "lambda.log" if fact.data.get("stream") == "stderr":
                _say(f"  function: {fact.data.get('line')}")
            case "loop.invocation.explained":
                task = asyncio.get_running_loop().create_task(self._explain(fact))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _explain(self, fact: Fact) -> None:
        run = await self._loop.describe_current()
        if run is None:  # the network has changed meanwhile
            return
        mine = [each for each in run.results if each.request_id == fact.data["request_id"]]
        took = f" after {humanize(mine[0].duration)}" if mine else ""
        strategy = Strategy(fact.data["strategy"])
        by = "your code" if strategy.is_developers else f"the fallback {strategy.value!r}"
        _say(f"{fact.data['topology']}: answered by {by}{took}")
        if run.verdict.cause not in ("works", self._last_cause):
            for line in textwrap.wrap(run.verdict.sentence, _WIDTH):
                _say(f"  {line}")
            for line in run.verdict.excerpt:
                _say(f"  | {line}")
        self._last_cause = run.verdict.cause


def _say(text: str) -> None:
    print(text, flush=True)
