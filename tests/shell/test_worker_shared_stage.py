"""Two developers on one stage: what a worker says and hears of others."""

from __future__ import annotations

import pytest

from event_protocol.live import MessageCode, Packet, encode_packet
from tests.shell.worker_channel import Channel, Facts, worker_for

HELLO = b'{"v":1,"features":[],"instance":"other","now":0,"developer":"jane@laptop"}'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "handler.py").write_text("def handler(event, context):\n    return 1\n")
    return tmp_path


def hello(body: bytes = HELLO) -> str:
    return encode_packet(Packet(MessageCode.HELLO, "dev", "h-1", 0, body, True))


async def hellos(channel: Channel, count: int) -> list[bytes]:
    def said() -> list[bytes]:
        return [packet.data for _, packet in channel.published if packet.type == MessageCode.HELLO]

    await channel.until(lambda: len(said()) >= count)
    return said()


async def test_a_worker_says_that_it_is_there_where_workers_listen(folder):
    async with Channel().serve() as channel, worker_for(channel, Facts(), folder):
        [body] = await hellos(channel, 1)
        assert b'"instance":' in body
        assert [where for where, _ in channel.published] == ["/sst/app/dev/in"]


async def test_another_developer_is_told_once_and_answered(folder):
    facts = Facts()
    async with Channel().serve() as channel, worker_for(channel, facts, folder):
        await hellos(channel, 1)
        for _ in range(3):
            await channel.push(hello())
        await hellos(channel, 2)
        shared = await facts.wait("worker.stage.shared")
        assert (shared.data["stage"], shared.data["developer"]) == ("dev", "jane@laptop")
        await channel.push(hello(HELLO.replace(b"other", b"third")))
        await facts.wait("worker.stage.shared", count=2)
        assert len(await hellos(channel, 3)) == 3


async def test_a_worker_does_not_take_itself_for_another(folder):
    facts = Facts()
    async with Channel().serve() as channel, worker_for(channel, facts, folder):
        [own] = await hellos(channel, 1)
        await channel.push(hello(own))
        await channel.push(hello(b"no hello"))  # which is noted once what came before is read
        await facts.wait("worker.event.refused")
    assert facts.of("worker.stage.shared") == []
