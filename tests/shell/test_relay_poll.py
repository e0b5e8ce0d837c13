"""The door for who reaches HTTPS and no WebSocket: bounded, resumable, guarded as a subscribe."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from event_protocol.limits import Limits
from relay.poll_door import LONGEST_WAIT, PATH
from relay.poll_sessions import SESSION_LIFE
from tests.shell.relay_stage import KEY, Stage, WatchedClock, start

CHANNEL = "/default/app/dev/in"


async def ask(stage: Stage, *, headers: Any = KEY, **body: Any) -> tuple[int, Any]:
    question = {"channel": CHANNEL} | body
    async with stage.request("POST", PATH, json=question, headers=headers) as response:
        return response.status, json.loads(await response.text())


async def opened(stage: Stage) -> str:
    status, answer = await ask(stage)
    assert (status, answer["events"], answer["first"]) == (200, [], 1)
    return answer["session"]


async def test_events_are_fetched_in_order_and_byte_for_byte(tmp_path: Path) -> None:
    async with start(tmp_path) as stage:
        session = await opened(stage)
        await stage.post(CHANNEL, '"a"', '{ "b" : "\\u00e4" }')
        await stage.post(CHANNEL, '"c"')
        status, answer = await ask(stage, session=session)
        assert status == 200
        assert answer["events"] == ['"a"', '{ "b" : "\\u00e4" }', '"c"']
        assert answer["first"] == 1


async def test_a_question_waits_for_the_next_event(tmp_path: Path) -> None:
    clock = WatchedClock()
    async with start(tmp_path, clock=clock) as stage:
        session = await opened(stage)
        before = clock.waiting
        asking = asyncio.create_task(ask(stage, session=session, wait=20))
        await clock.is_waited_for(before + 1)
        await stage.post(CHANNEL, '"a"')
        _, answer = await asking
    assert answer["events"] == ['"a"']


async def test_a_question_whose_wait_is_over_is_answered_empty(tmp_path: Path) -> None:
    clock = WatchedClock()
    async with start(tmp_path, clock=clock) as stage:
        session = await opened(stage)
        before = clock.waiting
        asking = asyncio.create_task(ask(stage, session=session, wait=1000))
        await clock.is_waited_for(before + 1)
        clock.advance(LONGEST_WAIT)
        _, answer = await asking
    assert (answer["session"], answer["events"]) == (session, [])


async def test_what_was_given_is_given_again_until_it_is_confirmed(tmp_path: Path) -> None:
    async with start(tmp_path) as stage:
        session = await opened(stage)
        await stage.post(CHANNEL, '"a"', '"b"')
        for _ in range(2):  # the first answer may have been lost on its way
            _, answer = await ask(stage, session=session)
            assert answer["events"] == ['"a"', '"b"']
        await stage.post(CHANNEL, '"c"')
        _, answer = await ask(stage, session=session, after=1)
        assert (answer["first"], answer["events"]) == (2, ['"b"', '"c"'])
        _, answer = await ask(stage, session=session, after=3)
        assert (answer["first"], answer["events"]) == (4, [])


@pytest.mark.parametrize("after", [0, 5])
async def test_nobody_confirms_what_was_not_given(tmp_path: Path, after: int) -> None:
    async with start(tmp_path) as stage:
        session = await opened(stage)
        await stage.post(CHANNEL, '"a"')
        assert (await ask(stage, session=session, after=1))[0] == 200
        status, answer = await ask(stage, session=session, after=after)
        assert (status, answer["errors"][0]["errorType"]) == (400, "BadRequestException")


async def test_who_may_not_subscribe_may_not_poll(tmp_path: Path) -> None:
    async with start(tmp_path) as stage:
        session = await opened(stage)
        for headers in ({}, {"x-api-key": "da2-wrong"}):
            assert (await ask(stage, headers=headers))[0] == 401
            assert (await ask(stage, headers=headers, session=session))[0] == 401
        status, _ = await ask(stage, channel="/unknown/app/dev/in")
        assert status == 401
        status, _ = await ask(stage, session=session, channel="/default/other/dev/in")
        assert status == 404, "a session is of one channel"
        status, answer = await ask(stage, session="0" * 32)
        assert (status, answer["errors"][0]["errorType"]) == (404, "PollSessionNotFound")


async def test_an_asker_that_is_too_slow_is_cut_like_a_socket(tmp_path: Path) -> None:
    limits = Limits()
    async with start(tmp_path, limits=limits, unsent_bytes=limits.event_bytes) as stage:
        session = await opened(stage)
        large = json.dumps("x" * 200_000)
        await stage.post(CHANNEL, large)
        assert (await ask(stage, session=session))[0] == 200
        await stage.post(CHANNEL, large)
        closed = await stage.journal.fact("relay.poll.closed")
        assert (closed["reason"], closed["lost"]) == ("slow", 2)
        assert (await ask(stage, session=session))[0] == 404
        assert (await stage.post(CHANNEL, '"a"'))[0] == 200, "nobody else notices"


async def test_a_session_that_nobody_asks_is_forgotten(tmp_path: Path) -> None:
    clock = WatchedClock()
    async with start(tmp_path, clock=clock) as stage:
        session = await opened(stage)
        clock.advance(SESSION_LIFE - 1)
        assert (await ask(stage, session=session))[0] == 200
        clock.advance(SESSION_LIFE - 1)
        assert (await ask(stage, session=session))[0] == 200, "each question begins its life anew"
        clock.advance(SESSION_LIFE)
        assert (await ask(stage, session=session))[0] == 404
        assert stage.journal.of("relay.poll.closed")[0]["reason"] == "idle"


async def test_a_session_can_be_ended(tmp_path: Path) -> None:
    async with start(tmp_path) as stage:
        session = await opened(stage)
        await stage.post(CHANNEL, '"a"')
        assert (await ask(stage, session=session, after=1, end=True))[0] == 200
        assert (await ask(stage, session=session))[0] == 404
        [closed] = stage.journal.of("relay.poll.closed")
    assert (closed["reason"], closed["delivered"], closed["lost"]) == ("asked", 1, 0)


async def test_a_later_question_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    clock = WatchedClock()
    async with start(tmp_path, clock=clock) as stage:
        session = await opened(stage)
        before = clock.waiting
        first = asyncio.create_task(ask(stage, session=session, wait=20))
        await clock.is_waited_for(before + 1)
        second = asyncio.create_task(ask(stage, session=session, wait=20))
        assert (await first)[1]["events"] == []
        await stage.post(CHANNEL, '"a"')
        assert (await second)[1]["events"] == ['"a"']


async def test_a_relay_that_ends_answers_who_waits(tmp_path: Path) -> None:
    clock = WatchedClock()
    async with start(tmp_path, clock=clock) as stage:
        session = await opened(stage)
        before = clock.waiting
        asking = asyncio.create_task(ask(stage, session=session, wait=20))
        await clock.is_waited_for(before + 1)
        await stage.relay.drain()
        status, answer = await asking
    assert (status, answer["events"]) == (200, [])


async def test_sockets_and_polls_hear_the_same(tmp_path: Path) -> None:
    async with start(tmp_path) as stage, stage.socket() as socket:
        await socket.subscribe("/default/*")
        session = await opened(stage)
        await stage.post(CHANNEL, *(f'"{n}"' for n in range(5)))
        heard = [json.loads(await socket.hear())["event"] for _ in range(5)]
        _, answer = await ask(stage, session=session)
    assert answer["events"] == heard


async def test_a_poll_may_ask_for_a_pattern(tmp_path: Path) -> None:
    async with start(tmp_path) as stage:
        _, answer = await ask(stage, channel="/default/*")
        session = answer["session"]
        await stage.post("/default/a", '"a"')
        await stage.post("/default/b/c", '"b"')
        _, answer = await ask(stage, channel="/default/*", session=session)
    assert answer["events"] == ['"a"', '"b"']


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "no json",
        '{"channel":7}',
        '{"channel":"/default/a","after":true}',
        '{"channel":"/default/a","after":"7"}',
        '{"channel":"/default/a","wait":-1}',
        '{"channel":"/default/a","session":7}',
        '{"channel":"not a channel"}',
    ],
)
async def test_what_is_no_question_is_refused(tmp_path: Path, body: str) -> None:
    async with start(tmp_path) as stage, stage.request("POST", PATH, data=body, headers=KEY) as r:
        assert r.status == 400


async def test_other_methods_are_no_polls(tmp_path: Path) -> None:
    async with start(tmp_path) as stage:
        async with stage.request("GET", PATH, headers=KEY) as response:
            assert response.status == 404
        async with stage.request("OPTIONS", PATH) as response:
            assert response.status == 200
