"""Any part is killed at any step of an invocation: one answer each, and what was lost is named.

Steps, in their order; each is reached and held, then the victim is killed, then the step goes on:

    opening      the guest's subscribe is on its way to the relay
    publishing   the guest's event is on its way to the relay
    delivering   … has been taken by the relay, and is on its way to the worker
    handling     the handler runs
    answered     the worker's answer is on its way to the relay
    answering    … has been taken by the relay, and is on its way to the guest
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from event_protocol.live import MessageCode
from natless.certificates import Authority
from natless.lambda_host.host import InvokeResult, LambdaHost
from tests.shell.kill_stage import DOWN, UP, KillStage, open_kill_stage, packet_type
from tests.shell.shim_peers import PATIENCE

BUDGETS = {
    "DEV_FIRST": "0.8",
    "DEV_KNOWN": "0.8",
    "DEV_SILENCE": "1.2",
    "RECONNECT_TOTAL": "0.2",
    "SUBSCRIBE_LIVE": "1",
}
Frame = dict[str, Any]


def carries(way: str, code: MessageCode) -> Callable[[str, Frame], bool]:
    return lambda at, frame: at == way and packet_type(frame) == code


STEPS: dict[str, Callable[[str, Frame], bool] | None] = {
    "opening": lambda way, frame: way == UP and frame["type"] == "subscribe",
    "publishing": carries(UP, MessageCode.NEXT),
    "delivering": carries(DOWN, MessageCode.NEXT),
    "handling": None,  # the handler itself says so
    "answered": carries(UP, MessageCode.RESPONSE),
    "answering": carries(DOWN, MessageCode.RESPONSE),
}


@dataclass(frozen=True)
class Said:
    """How an invocation ends.

    Attributes:
        error: what the type of the caller's error contains; empty when the developer answers.
        lost: a fact that names the request, by kind and words in it; empty when nothing was lost.
    """

    error: str = ""
    lost: tuple[str, str] = ("", "")


ANSWER = Said()
EXIT = Said("Runtime.ExitError", ("lambda.invocation.failed", "Runtime.ExitError"))
NOBODY = Said("LiveBridge.DeliverTimeout", ("shim.invocation", "nobody on the developer's side"))
CUT = ("shim.invocation", "answered by error")
TABLE: dict[tuple[str, str], Said] = {
    ("opening", "worker"): NOBODY,
    ("opening", "relay"): Said("LiveBridge.Subscribe", CUT),
    ("opening", "guest"): ANSWER,  # it had no event yet, and Lambda starts another
    ("publishing", "worker"): NOBODY,
    ("publishing", "relay"): Said("LiveBridge.", CUT),
    ("publishing", "guest"): EXIT,
    ("publishing", "handler"): ANSWER,  # the worker starts another
    ("delivering", "worker"): NOBODY,
    ("delivering", "relay"): Said("LiveBridge.", CUT),
    ("delivering", "guest"): EXIT,
    ("delivering", "handler"): ANSWER,
    ("handling", "worker"): Said("LiveBridge.HandleTimeout", ("shim.invocation", "dev.silence")),
    ("handling", "relay"): Said("LiveBridge.", CUT),
    ("handling", "guest"): EXIT,
    ("handling", "handler"): Said(
        "Runtime.ExitError", ("worker.invocation.failed", "Runtime.ExitError")
    ),
    ("answered", "worker"): ANSWER,  # what it sent goes on without it
    ("answered", "relay"): Said("LiveBridge.", CUT),
    ("answered", "guest"): EXIT,
    ("answered", "handler"): ANSWER,
    ("answering", "worker"): ANSWER,
    ("answering", "relay"): ANSWER,
    ("answering", "guest"): EXIT,
    ("answering", "handler"): ANSWER,
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KillStage]:
    authority = Authority.for_user(tmp_path_factory.mktemp("ca"))
    async with open_kill_stage(tmp_path_factory.mktemp("loop"), authority, **BUDGETS) as stage:
        yield stage


async def test_the_table_has_every_step_and_every_victim() -> None:
    victims = ("worker", "relay", "guest", "handler")
    wanted = {(step, victim) for step in STEPS for victim in victims}
    assert wanted - TABLE.keys() == {("opening", "handler")}, "there is no handler yet"


@pytest.mark.parametrize(("step", "victim"), TABLE, ids=str)
async def test_each_caller_gets_one_answer(loop: KillStage, step: str, victim: str) -> None:
    expected = TABLE[step, victim]
    await loop.heal()
    async with asyncio.timeout(PATIENCE), loop.function() as host:
        if step != "opening":
            assert answer_of(await invoke(host, n=0)) == {"developer": 0}
        asking = await reach(loop, host, step)
        await loop.kill(victim)
        if step == "handling":
            loop.open_gate()
        loop.door.gate.set()
        result = await asking
        if expected.error:
            assert result.function_error == "Unhandled"
            assert expected.error in answer_of(result)["errorType"]
        else:
            assert answer_of(result) == {"developer": 1}
        await host.settled()
        await names_what_was_lost(loop, result, expected)
        assert answers_to(loop, result) == 1
        # Who lives answers the next one; without relay or worker it is told so.
        is_whole = victim in ("guest", "handler")
        if is_whole or step == "handling":
            other = await invoke(host, n=2)
            assert (other.function_error is None) is is_whole
            assert answers_to(loop, other) == 1


async def invoke(host: LambdaHost, **event: Any) -> InvokeResult:
    result = await host.invoke(json.dumps(event).encode())
    await host.settled()
    return result


async def reach(loop: KillStage, host: LambdaHost, step: str) -> asyncio.Task[InvokeResult]:
    """Begins an invocation and returns when it has come to this step."""
    wanted = STEPS[step]
    if wanted is not None:
        loop.door.hold(wanted)
    event = json.dumps({"n": 1, "waits": wanted is None}).encode()
    asking = asyncio.create_task(host.invoke(event))
    if wanted is not None:
        await loop.door.reached.wait()
    else:
        while not loop.begun.exists():  # noqa: ASYNC110  a file of another process, nothing tells
            await asyncio.sleep(0.005)
    return asking


def answer_of(result: InvokeResult) -> Any:
    return json.loads(result.payload)


def answers_to(loop: KillStage, result: InvokeResult) -> int:
    ends = ("lambda.invocation.complete", "lambda.invocation.failed")
    told = [fact for kind in ends for fact in loop.facts.of(kind)]
    return sum(fact.data["request_id"] == result.request_id for fact in told)


async def names_what_was_lost(loop: KillStage, result: InvokeResult, expected: Said) -> None:
    kind, words = expected.lost
    if not kind:
        return

    def found() -> bool:
        return any(
            result.request_id in (line := fact.to_json()) and words in line
            for fact in loop.facts.of(kind)
        )

    while not found():
        await loop.facts.news()
