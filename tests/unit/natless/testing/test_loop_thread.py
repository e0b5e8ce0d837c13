"""What is held open in a thread is entered and left once, and its errors reach who asked."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from natless.testing.loop_thread import LoopThread

steps: list[str] = []


@asynccontextmanager
async def held(*, on_enter: Exception | None = None, on_leave: Exception | None = None):
    task = asyncio.current_task()
    if on_enter:
        raise on_enter
    steps.append("entered")
    try:
        yield "value"
    finally:
        assert asyncio.current_task() is task
        steps.append("left")
        if on_leave:
            raise on_leave


@pytest.fixture(autouse=True)
def no_steps():
    steps.clear()


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_work_is_done_between_entering_and_leaving():
    thread = LoopThread(held())
    assert thread.open() == "value"
    assert (thread.call(double(2)), thread.start(double(3)).result()) == (4, 6)
    assert steps == ["entered"]
    thread.close()
    assert steps == ["entered", "left"]


def test_an_error_of_entering_reaches_who_opens():
    with pytest.raises(LookupError, match="no"):
        LoopThread(held(on_enter=LookupError("no"))).open()


def test_an_error_of_leaving_reaches_who_closes():
    thread = LoopThread(held(on_leave=LookupError("no")))
    thread.open()
    with pytest.raises(LookupError, match="no"):
        thread.close()


def test_an_error_of_work_reaches_who_asked_and_the_loop_goes_on():
    thread = LoopThread(held())
    thread.open()

    async def fail() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        thread.call(fail())
    assert thread.call(double(1)) == 2
    thread.close()


def test_a_closed_lab_takes_no_work():
    thread = LoopThread(held())
    thread.open()
    thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        thread.call(double(1))
