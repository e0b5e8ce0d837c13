import asyncio

from natless.lambda_host.clock import HandClock, SystemClock, wait_first


def future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


async def test_a_hand_clock_makes_the_calls_that_are_due_in_their_order():
    clock, calls = HandClock(now=10.0), []
    clock.call_at(12.0, lambda: calls.append(("b", clock.now())))
    clock.call_at(11.0, lambda: calls.append(("a", clock.now())))
    clock.call_at(20.0, lambda: calls.append(("never", clock.now())))
    clock.advance(5.0)
    assert calls == [("a", 11.0), ("b", 12.0)]
    assert clock.now() == 15.0


async def test_a_cancelled_call_is_not_made():
    clock, calls = HandClock(), []
    clock.call_at(clock.now() + 1, lambda: calls.append(1)).cancel()
    clock.advance(2.0)
    assert calls == []


async def test_the_wall_moves_with_the_hand():
    clock = HandClock(now=0.0, wall=100.0)
    clock.advance(5.0)
    assert clock.wall() == 105.0


async def test_waiting_ends_when_one_of_the_futures_is_done():
    clock, first, second = HandClock(), future(), future()
    waiting = asyncio.create_task(wait_first(clock, clock.now() + 5, first, second))
    await clock.pending()
    second.set_result(None)
    assert await waiting
    assert not first.done()


async def test_waiting_ends_at_the_deadline_and_leaves_the_futures_alone():
    clock, never = HandClock(), future()
    waiting = asyncio.create_task(wait_first(clock, clock.now() + 5, never))
    await clock.pending()
    clock.advance(5.0)
    assert not await waiting
    assert not never.done()


async def test_waiting_returns_at_once_for_what_is_done_already():
    clock, done = HandClock(), future()
    done.set_result(None)
    assert await wait_first(clock, clock.now(), done)


async def test_a_finished_wait_leaves_no_timer_behind():
    clock, one = HandClock(), future()
    waiting = asyncio.create_task(wait_first(clock, clock.now() + 5, one))
    await clock.pending()
    one.set_result(None)
    await waiting
    watching = asyncio.create_task(clock.pending())
    await asyncio.sleep(0)
    assert not watching.done()
    watching.cancel()


async def test_the_system_clock_is_that_of_the_loop():
    clock, called = SystemClock(), future()
    clock.call_at(clock.now(), lambda: called.set_result(None))
    assert await wait_first(clock, None, called)
