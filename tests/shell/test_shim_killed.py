"""The guest is killed at every step of an invocation: never two answers to one request id."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from event_protocol.frames import Publish
from event_protocol.live import Message, MessageCode
from tests.shell.shim_peers import PATIENCE, Bench, Say, Send, bench, respond, run_guest

SQS = {"Records": [{"eventSource": "aws:sqs", "messageId": "m-1", "body": "{}"}]}
HANGS_ONCE = """
import pathlib, time
def handler(event, context):
    mark = pathlib.Path("begun")
    if not mark.exists():
        mark.touch()
        time.sleep(2)
    return "deployed"
"""
Step = Callable[[Bench, asyncio.Event], Awaitable[None]]


async def connecting(lab: Bench, reached: asyncio.Event) -> None:
    async def silent(_: Send) -> None:
        reached.set()

    lab.relay.on_init = silent


async def publishing(lab: Bench, reached: asyncio.Event) -> None:
    async def silent(_: Send, __: Publish) -> bool:
        reached.set()
        return False

    lab.relay.on_publish = silent


async def delivered(lab: Bench, reached: asyncio.Event) -> None:
    async def silent(_: Message, __: Say) -> None:
        reached.set()

    lab.developer.on_next = silent


async def handling(lab: Bench, reached: asyncio.Event) -> None:
    async def take(_: Message, say: Say) -> None:
        await say(MessageCode.PING, b"{}\n")
        reached.set()

    lab.developer.on_next = take


async def falling_back(lab: Bench, reached: asyncio.Event) -> None:
    """The code in the container runs when it happens."""
    lab.relay.on_request = respond(403)

    async def look() -> None:
        while not (lab.task_root / "begun").exists():  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.01)
        reached.set()

    lab.background.append(asyncio.create_task(look()))


async def answered(lab: Bench, reached: asyncio.Event) -> None:
    """The answer is on its way into the Runtime API, whose reply never comes."""

    async def hold() -> None:
        reached.set()
        await asyncio.Event().wait()

    lab.api.on_posted = hold


def restore(lab: Bench) -> None:
    """Everybody behaves again."""
    fresh = type(lab.relay)(lab.developer)
    lab.relay.on_init, lab.relay.on_publish = fresh.on_init, fresh.on_publish
    lab.relay.on_request = fresh.on_request
    lab.developer.on_next = lab.developer.answer
    lab.api.on_posted = None


@pytest.mark.parametrize(
    "step",
    [connecting, publishing, delivered, handling, falling_back, answered],
    ids=lambda step: step.__name__,
)
async def test_a_guest_that_is_killed_leaves_one_answer_at_most(tmp_path: Path, step: Step) -> None:
    reached = asyncio.Event()
    async with bench(tmp_path, code=HANGS_ONCE) as lab:
        await step(lab, reached)
        question = lab.api.put({"n": 1}, timeout=60.0)
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        lab.guest.process.kill()
        await lab.guest.end()
        restore(lab)
        # Lambda starts another environment; this one hands the same event out if it must.
        async with run_guest(lab.environment, directory=lab.task_root):
            posted = await lab.api.answer(question)
            other = await lab.api.ask({"n": 2})
        assert [each for each, _ in lab.api.posted].count(question) == 1
        assert posted.kind == "response"
        assert other.json == {"echo": {"n": 2}}
        for task in lab.background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_a_late_answer_of_the_developer_is_not_a_second_one(tmp_path: Path) -> None:
    """Both environments had the event: the developer answers both, the caller gets one."""
    held: list[tuple[Message, Say]] = []
    reached = asyncio.Event()

    async def hold(message: Message, say: Say) -> None:
        await say(MessageCode.PING, b"{}\n")
        held.append((message, say))
        reached.set()

    async with bench(tmp_path) as lab:
        lab.developer.on_next = hold
        question = lab.api.put({"n": 1}, timeout=60.0)
        await reached.wait()
        lab.guest.process.kill()
        await lab.guest.end()
        reached.clear()
        async with run_guest(lab.environment, directory=lab.task_root):
            await reached.wait()
            for message, _ in held:
                await lab.developer.answer(message, held[-1][1])
            await lab.api.answer(question)
            lab.developer.on_next = lab.developer.answer
            await lab.api.ask({"n": 2})
        assert [each for each, _ in lab.api.posted].count(question) == 1


async def test_an_event_is_in_the_spool_before_anybody_hears_of_it(tmp_path: Path) -> None:
    """Killed with the answer on its way: what its source may take for done is on the disk."""
    spool = tmp_path / "spool"
    options: dict[str, Any] = {"NATLESS_FALLBACKS": "ok", "NATLESS_SPOOL": str(spool)}
    async with bench(tmp_path, set_up=_closed, **options) as lab:
        reached = asyncio.Event()
        await answered(lab, reached)
        question = lab.api.put(SQS, timeout=60.0)
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        assert [each.name for each in spool.iterdir()] == [f"{question}.json"]
        lab.guest.process.kill()
        await lab.guest.end()


def _closed(relay: Any) -> None:
    relay.on_request = respond(403)
