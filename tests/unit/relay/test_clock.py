import asyncio

from relay.clock import HandMovedClock


def test_actions_run_in_the_order_of_their_moments():
    clock = HandMovedClock(now=0.0)
    seen = []
    clock.call_at(2.0, lambda: seen.append(("two", clock.now())))
    clock.call_at(1.0, lambda: seen.append(("one", clock.now())))
    clock.advance(1.5)
    assert seen == [("one", 1.0)]
    clock.advance(1.0)
    assert seen == [("one", 1.0), ("two", 2.0)]
    assert clock.now() == 2.5


def test_an_action_may_plan_the_next_one_within_the_same_advance():
    clock = HandMovedClock(now=0.0)
    seen = []

    def again():
        seen.append(clock.now())
        clock.call_at(clock.now() + 1, again)

    clock.call_at(1.0, again)
    clock.advance(3.5)
    assert seen == [1.0, 2.0, 3.0]


def test_a_cancelled_action_does_not_run():
    clock = HandMovedClock()
    seen = []
    timer = clock.call_at(clock.now() + 1, lambda: seen.append(1))
    assert clock.waiting == 1
    timer.cancel()
    assert clock.waiting == 0
    clock.advance(2)
    assert seen == []


def test_both_clocks_move_together():
    clock = HandMovedClock(now=5.0, wall=100.0)
    clock.advance(2.0)
    assert (clock.now(), clock.wall()) == (7.0, 102.0)


async def test_a_sleeper_wakes_when_the_clock_gets_there():
    clock = HandMovedClock()
    sleeper = asyncio.ensure_future(clock.sleep(10))
    await asyncio.sleep(0)
    clock.advance(9.9)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(0.2)
    await sleeper


async def test_a_sleeper_that_was_cancelled_does_not_disturb_the_clock():
    clock = HandMovedClock()
    sleeper = asyncio.ensure_future(clock.sleep(10))
    await asyncio.sleep(0)
    sleeper.cancel()
    await asyncio.gather(sleeper, return_exceptions=True)
    clock.advance(20)
