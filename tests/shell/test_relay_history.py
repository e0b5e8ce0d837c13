"""Seeded load with connections that come and vanish: at most once, in order, nothing in between.

Every publisher counts up on a channel of its own. So whatever a subscription heard of one channel
must be a run of consecutive numbers: a gap is a loss, a repetition a duplicate, a step back a
reordering. A subscription that was there from beginning to end must have heard all of them.
"""

import asyncio
import contextlib
import gc
import json
from collections import defaultdict
from random import Random

import pytest
import websockets

from tests.shell.relay_stage import KEY, start

CHANNELS = ("/default/a", "/default/a/b", "/other/c")
PATTERNS = (*CHANNELS, "/default/*", "/default/a/*", "/other/*")
EVENTS = 200


def matches(pattern, channel):
    return channel.startswith(pattern[:-1]) if pattern.endswith("/*") else pattern == channel


class Listener:
    """One connection with some subscriptions, and what each of them heard."""

    def __init__(self, patterns, *, is_plain):
        self.is_plain = is_plain
        self.patterns = {f"s{number}": pattern for number, pattern in enumerate(patterns)}
        self.heard = defaultdict(lambda: defaultdict(list))
        self.count = 0
        self.is_subscribed = asyncio.Event()

    async def run(self, stage, *, until):
        """Listens until so many events came, then vanishes without a word."""
        with contextlib.suppress(websockets.ConnectionClosed):
            async with stage.socket(is_plain=self.is_plain) as socket:
                for name, pattern in self.patterns.items():
                    await socket.say(type="subscribe", id=name, channel=pattern, authorization=KEY)
                acked = 0
                while self.count < until:
                    frame = json.loads(await socket.hear())
                    if frame["type"] == "data":
                        event = json.loads(frame["event"])
                        self.heard[frame["id"]][event["channel"]].append(event["n"])
                        self.count += 1
                        continue
                    assert frame["type"] == "subscribe_success"
                    acked += 1
                    if acked == len(self.patterns):
                        self.is_subscribed.set()
                socket.connection.transport.abort()

    def check_runs(self):
        for name, channels in self.heard.items():
            for channel, numbers in channels.items():
                assert matches(self.patterns[name], channel)
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def publish_all(stage, channel, rng):
    """Counts up on one channel, over HTTP or a WebSocket, in batches of one to five."""
    number = 0
    async with stage.socket() as socket:
        while number < EVENTS:
            batch = [
                json.dumps({"channel": channel, "n": n})
                for n in range(number, min(number + rng.randint(1, 5), EVENTS))
            ]
            if rng.random() < 0.3:
                assert (await stage.post(channel, *batch))[0] == 200
            else:
                assert "publish_success" in await socket.publish(channel, *batch)
            number += len(batch)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("is_plain", [True, False])
async def test_what_is_heard_is_in_order_without_gaps_or_repetitions(
    tmp_path, caplog, seed, is_plain
):
    rng = Random(seed)
    async with start(tmp_path) as stage:
        every = [sum(matches(one, channel) for channel in CHANNELS) for one in PATTERNS]
        faithful = [Listener(each, is_plain=is_plain) for each in (*zip(PATTERNS), PATTERNS)]
        wanted = [*(EVENTS * one for one in every), EVENTS * sum(every)]
        staying = [
            asyncio.create_task(one.run(stage, until=count))
            for one, count in zip(faithful, wanted, strict=True)
        ]
        for one in faithful:
            await one.is_subscribed.wait()
        publishing = [
            asyncio.create_task(publish_all(stage, channel, Random(f"{seed}{channel}")))
            for channel in CHANNELS
        ]
        fickle = []

        async def come_and_go():
            while not all(task.done() for task in publishing):
                some = rng.choices(PATTERNS, k=rng.randint(1, 3))
                one = Listener(some, is_plain=is_plain)
                fickle.append(one)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rng.uniform(0.005, 0.05)):
                        await one.run(stage, until=rng.randint(1, 40))

        await asyncio.gather(*publishing, *(come_and_go() for _ in range(4)))
        await asyncio.gather(*staying)
        await stage.relay.drain()

        for one in (*faithful, *fickle):
            one.check_runs()
        for one, count in zip(faithful, wanted, strict=True):
            assert one.count == count
        assert len(fickle) > 4
        closed = [
            fact
            for fact in stage.journal.of("relay.connection.closed")
            if fact["transport"] == "realtime"
        ]
        assert sum(fact["delivered"] for fact in closed) >= sum(
            one.count for one in (*faithful, *fickle)
        )
        assert sum(
            fact["received"] for fact in stage.journal.of("relay.connection.closed")
        ) == EVENTS * len(CHANNELS)
        assert not caplog.records


@pytest.mark.parametrize("is_plain", [True, False])
async def test_nothing_is_left_of_many_connections(tmp_path, caplog, is_plain):
    async with start(tmp_path) as stage:
        rng = Random(7)

        async def visit(number):
            with contextlib.suppress(websockets.ConnectionClosed):
                async with stage.socket(is_plain=is_plain) as socket:
                    await socket.subscribe("/default/x", f"s{number}")
                    if rng.random() < 0.5:
                        socket.connection.transport.abort()

        tasks = len(asyncio.all_tasks())
        for _ in range(10):
            await asyncio.gather(*(visit(number) for number in range(20)))
        api = next(iter(stage.relay.registry))
        relay = stage.relay
        async with asyncio.timeout(10):
            while len(stage.journal.of("relay.connection.closed")) < 200:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert (len(api.channels), len(relay.connections)) == (0, 0)
        gc.collect()
        async with asyncio.timeout(10):
            while relay._front.connections:  # noqa: ASYNC110  aiohttp tells nobody
                await asyncio.sleep(0)
        assert not relay._front._visits
        assert len(asyncio.all_tasks()) == tasks
    assert not caplog.records
