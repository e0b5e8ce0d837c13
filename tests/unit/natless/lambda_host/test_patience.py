import asyncio

import pytest

from natless.lambda_host.clock import HandClock
from natless.lambda_host.patience import AFTERWARDS, Patience


class Debugger:
    is_attached = False

    def __call__(self) -> bool:
        return self.is_attached


@pytest.fixture
def clock():
    return HandClock(now=0.0)


@pytest.fixture
def debugger():
    return Debugger()


async def waiting(patience, deadline, *futures):
    task = asyncio.create_task(patience.wait(deadline, *futures))
    await asyncio.sleep(0)
    return task


async def pass_time(clock, seconds):
    """Half seconds, as long as somebody waits for them."""
    for _ in range(int(seconds * 2)):
        clock.advance(0.5)
        for _ in range(5):
            await asyncio.sleep(0)


async def test_without_a_debugger_the_deadline_holds(clock, debugger):
    for patience in (Patience(clock), Patience(clock, debugger)):
        task = await waiting(patience, clock.now() + 3.0, asyncio.Future())
        await pass_time(clock, 2.5)
        assert not task.done()
        await pass_time(clock, 0.5)
        assert task.result() is False


async def test_what_comes_in_time_ends_the_wait(clock, debugger):
    for patience in (Patience(clock), Patience(clock, debugger)):
        future = asyncio.Future()
        task = await waiting(patience, clock.now() + 3.0, future)
        future.set_result(None)
        assert await task is True


async def test_time_with_a_debugger_attached_does_not_count(clock, debugger):
    patience = Patience(clock, debugger)
    task = await waiting(patience, 3.0, asyncio.Future())
    await pass_time(clock, 2.0)
    debugger.is_attached = True
    assert patience.is_endless
    await pass_time(clock, 600.0)
    assert not task.done()
    debugger.is_attached = False
    await pass_time(clock, 0.5)
    assert not task.done()
    await pass_time(clock, 0.5)  # the one second that was left has passed
    assert task.result() is False


async def test_who_had_to_wait_has_time_for_the_rest(clock, debugger):
    clock.advance(100.0)
    assert Patience(clock).extend(3.0) == 3.0
    assert Patience(clock, debugger).extend(3.0) == 100.0 + AFTERWARDS
    assert Patience(clock, debugger).extend(500.0) == 500.0
