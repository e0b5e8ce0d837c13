from dataclasses import dataclass, field

import pytest

from relay.clock import HandMovedClock
from relay.keepalive import SLOTS, KeepAliveWheel


@dataclass(eq=False)
class Connection:
    clock: HandMovedClock
    opened: float = 0.0
    kept: list = field(default_factory=list)
    expired: list = field(default_factory=list)

    def keep_alive(self):
        self.kept.append(self.clock.now())

    def expire(self):
        self.expired.append(self.clock.now())


@pytest.fixture
def clock():
    return HandMovedClock(now=0.0)


@pytest.fixture
def wheel(clock):
    return KeepAliveWheel(clock, interval=60.0, life=86_400.0)


def opened(wheel, clock):
    connection = Connection(clock, opened=clock.now())
    wheel.open(connection)
    return connection


def test_ka_comes_one_interval_apart_from_the_ack_on(wheel, clock):
    connection = opened(wheel, clock)
    clock.advance(7.3)
    wheel.acknowledge(connection)
    clock.advance(300)
    assert len(connection.kept) == 5
    assert abs(connection.kept[0] - 67.3) <= 60 / SLOTS
    gaps = [b - a for a, b in zip(connection.kept, connection.kept[1:], strict=False)]
    assert gaps == pytest.approx([60.0] * 4)


def test_who_was_never_acknowledged_gets_no_ka(wheel, clock):
    connection = opened(wheel, clock)
    clock.advance(600)
    assert connection.kept == []


def test_the_second_acknowledgement_changes_nothing(wheel, clock):
    connection = opened(wheel, clock)
    assert wheel.acknowledge(connection)
    clock.advance(30)
    assert not wheel.acknowledge(connection)
    clock.advance(90)
    assert connection.kept == pytest.approx([60.0, 120.0])


def test_all_connections_share_one_timer_and_none_runs_without_any(wheel, clock):
    connections = [opened(wheel, clock) for _ in range(100)]
    for connection in connections:
        wheel.acknowledge(connection)
        clock.advance(0.5)
    assert clock.waiting == 1
    for connection in connections:
        wheel.close(connection)
        wheel.close(connection)
    assert clock.waiting == 0
    clock.advance(1000)


def test_the_timer_starts_again_for_the_next_connection(wheel, clock):
    wheel.close(opened(wheel, clock))
    clock.advance(500)
    connection = opened(wheel, clock)
    wheel.acknowledge(connection)
    clock.advance(60)
    assert len(connection.kept) == 1


def test_the_ka_of_many_connections_are_spread_over_the_interval(wheel, clock):
    connections = []
    for _ in range(SLOTS):
        connections.append(opened(wheel, clock))
        wheel.acknowledge(connections[-1])
        clock.advance(1)
    clock.advance(60)
    moments = {round(connection.kept[0], 3) for connection in connections}
    assert len(moments) == SLOTS


def test_a_connection_ends_when_it_is_24_hours_old_and_no_other(wheel, clock):
    old = opened(wheel, clock)
    wheel.acknowledge(old)
    clock.advance(3600)
    young = opened(wheel, clock)
    clock.advance(86_400 - 3600 - 0.5)
    assert old.expired == []
    clock.advance(1.5)
    assert len(old.expired) == 1
    assert young.expired == []
    clock.advance(600)
    assert len(old.expired) == 1
    clock.advance(3600)
    assert len(young.expired) == 1
    assert clock.waiting == 0


def test_a_life_shorter_than_the_interval_is_kept_too(clock):
    wheel = KeepAliveWheel(clock, interval=600.0, life=1.0)
    connection = opened(wheel, clock)
    clock.advance(2.0)
    assert len(connection.expired) == 1


def test_a_machine_that_slept_sends_no_burst_of_missed_ka(wheel):
    class SleepyClock(HandMovedClock):
        def skip(self, seconds):
            self._now += seconds

    clock = SleepyClock(now=0.0)
    wheel = KeepAliveWheel(clock, interval=60.0, life=1e9)
    connection = opened(wheel, clock)
    wheel.acknowledge(connection)
    clock.skip(36_000)
    clock.advance(1)
    assert len(connection.kept) <= 2
