import asyncio
import signal

import pytest

from natless.errors import ComponentFailed
from natless.vpc.process import VpcProcess


class Pipe:
    def __init__(self):
        self.reader = asyncio.StreamReader()
        self.is_closed = False

    def close(self):
        self.is_closed = True


def make_process():
    ended, sent = asyncio.get_running_loop().create_future(), []

    async def send(number):
        sent.append(number)

    pipes = Pipe(), Pipe()
    process = VpcProcess(pid=7, stdout=pipes[0], stderr=pipes[1], ended=ended, send_signal=send)
    return process, ended, sent, pipes


async def test_it_runs_until_its_end_is_told():
    process, ended, _, _ = make_process()
    assert process.returncode is None
    ended.set_result(-9)
    assert process.returncode == -9
    assert await process.wait() == -9


async def test_whoever_stops_waiting_does_not_stop_the_others():
    process, ended, _, _ = make_process()
    first = asyncio.create_task(process.wait())
    second = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    ended.set_result(0)
    assert await second == 0


async def test_signals_are_sent_while_it_runs():
    process, _, sent, _ = make_process()
    process.terminate()
    process.kill()
    await asyncio.sleep(0)
    assert sent == [signal.SIGTERM, signal.SIGKILL]


async def test_what_has_ended_gets_no_signal():
    process, ended, sent, _ = make_process()
    ended.set_result(0)
    process.kill()
    await asyncio.sleep(0)
    assert sent == []


async def test_a_broken_lab_ends_the_waiting():
    process, ended, _, _ = make_process()
    ended.set_exception(ComponentFailed("the lab broke"))
    with pytest.raises(ComponentFailed, match="the lab broke"):
        await process.wait()
    assert process.returncode is None


async def test_it_is_over_when_its_output_was_taken_in_too():
    process, ended, _, pipes = make_process()
    ended.set_result(0)
    assert not process.is_over
    process.close()
    assert process.is_over
    assert all(pipe.is_closed for pipe in pipes)
