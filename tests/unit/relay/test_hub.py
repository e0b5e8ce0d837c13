import random

import pytest

from event_protocol.channels import ChannelPattern
from relay.hub import Hub, Outlet, Route, frame_header, splice
from relay.namespaces import ChannelTable, Subscription


class FakeTransport:
    """Takes bytes; keeps back what ``takes`` does not allow."""

    def __init__(self):
        self.writes = []
        self.unsent = 0
        self.is_stuck = False
        self.cuts = 0

    def write(self, data):
        self.writes.append(data)
        if self.is_stuck:
            self.unsent += len(data)

    def cut(self):
        self.cuts += 1

    def outlet(self):
        return Outlet(write=self.write, unsent=lambda: self.unsent, cut=self.cut)

    def texts(self):
        return [text for data in self.writes for text in unframe(data)]


class Loop:
    """Runs what was scheduled when told."""

    def __init__(self):
        self.scheduled = []

    def call_soon(self, action):
        self.scheduled.append(action)

    def tick(self):
        scheduled, self.scheduled = self.scheduled, []
        for action in scheduled:
            action()


def unframe(data):
    """The payloads of server text frames, read the way RFC 6455 says."""
    texts = []
    while data:
        assert data[0] == 0x81
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        texts.append(data[start : start + length].decode())
        assert len(texts[-1].encode()) == length
        data = data[start + length :]
    return texts


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def hub(loop):
    return Hub(loop.call_soon, unsent_bytes=1000)


def subscribe(table, transport, channel, *, id="s", outlet=None):  # noqa: A002
    subscription = Subscription(
        id, ChannelPattern.parse(channel), outlet=outlet or transport.outlet()
    )
    table.add(subscription)
    return subscription


def publish(hub, table, path, *events):
    tails = [event.encode() + b"}" for event in events]
    hub.publish(table.route(path), tails, size=sum(map(len, tails)))


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 4095, 4096, 65535, 65536, 1 << 20])
def test_a_frame_of_any_length_is_read_back(length):
    text = "x" * length
    assert unframe(frame_header(length) + text.encode()) == [text]


def test_spliced_pieces_become_one_frame_for_each_event():
    prefix = b'{"id":"a","type":"data","event":'
    tails = [b'"1"}', b'"' + b"x" * 200 + b'"}', b'"' + b"y" * 70000 + b'"}']
    texts = unframe(prefix.join(splice(tails, len(prefix))))
    assert texts == [(prefix + tail).decode() for tail in tails]


def test_an_event_reaches_each_subscriber_under_its_own_id(hub, loop):
    table, first, second = ChannelTable(), FakeTransport(), FakeTransport()
    subscribe(table, first, "/a/b", id="one")
    subscribe(table, second, "/a/b", id="another-id")
    publish(hub, table, "/a/b", r'"{\"n\": 1}"')
    loop.tick()
    assert first.texts() == [r'{"id":"one","type":"data","event":"{\"n\": 1}"}']
    assert second.texts() == [r'{"id":"another-id","type":"data","event":"{\"n\": 1}"}']


def test_everything_of_one_tick_is_one_write(hub, loop):
    table, transport = ChannelTable(), FakeTransport()
    subscribe(table, transport, "/a/b")
    for number in range(5):
        publish(hub, table, "/a/b", f'"{number}"')
    assert transport.writes == []
    assert len(loop.scheduled) == 1
    loop.tick()
    assert len(transport.writes) == 1
    assert len(transport.texts()) == 5


def test_an_answer_comes_before_the_events_of_its_tick(hub, loop):
    table, transport = ChannelTable(), FakeTransport()
    one = subscribe(table, transport, "/a/b")
    publish(hub, table, "/a/b", '"1"')
    hub.send(one.outlet, b"answer")
    loop.tick()
    assert [text[:6] for text in transport.texts()] == ["answer", '{"id":']


def test_events_of_several_channels_keep_their_order_on_one_connection(hub, loop):
    table, transport = ChannelTable(), FakeTransport()
    subscribe(table, transport, "/a/*")
    for number, path in enumerate(["/a/x", "/a/y", "/a/x", "/a/z", "/a/y"]):
        publish(hub, table, path, f'"{number}"')
    loop.tick()
    assert [text[-3] for text in transport.texts()] == list("01234")
    assert len(transport.writes) == 1


def test_who_subscribes_gets_nothing_that_was_published_before(hub, loop):
    table, early, late = ChannelTable(), FakeTransport(), FakeTransport()
    subscribe(table, early, "/a/b")
    publish(hub, table, "/a/b", '"before"')
    hub.flush()
    subscribe(table, late, "/a/b")
    publish(hub, table, "/a/b", '"after"')
    loop.tick()
    assert len(early.texts()) == 2
    assert late.texts() == ['{"id":"s","type":"data","event":"after"}']


def test_a_flush_in_between_leaves_nothing_for_the_end_of_the_tick(hub, loop):
    table, transport = ChannelTable(), FakeTransport()
    subscribe(table, transport, "/a/b")
    publish(hub, table, "/a/b", '"1"')
    hub.flush()
    loop.tick()
    assert len(transport.texts()) == 1
    publish(hub, table, "/a/b", '"2"')
    loop.tick()
    assert len(transport.texts()) == 2


def test_a_tick_that_collects_too_much_does_not_wait_for_its_end(loop):
    hub = Hub(loop.call_soon, unsent_bytes=10_000, pending_bytes=100)
    table, transport = ChannelTable(), FakeTransport()
    subscribe(table, transport, "/a/b")
    publish(hub, table, "/a/b", '"' + "x" * 60 + '"')
    assert transport.writes == []
    publish(hub, table, "/a/b", '"' + "x" * 60 + '"')
    assert len(transport.texts()) == 2


def test_a_subscriber_that_does_not_read_is_cut_and_the_others_are_not(hub, loop):
    table, slow, quick = ChannelTable(), FakeTransport(), FakeTransport()
    slow.is_stuck = True
    lagging = subscribe(table, slow, "/a/b")
    subscribe(table, quick, "/a/b")
    for _ in range(8):
        publish(hub, table, "/a/b", '"' + "x" * 200 + '"')
        loop.tick()
        if slow.cuts:
            break
    assert (slow.cuts, quick.cuts) == (1, 0)
    assert slow.unsent <= 1000 + 250
    assert lagging.outlet.lost == lagging.outlet.delivered == len(slow.writes)
    assert len(quick.texts()) == len(slow.writes)


def test_a_publisher_that_does_not_read_its_answers_is_cut(hub, loop):
    transport = FakeTransport()
    transport.is_stuck = True
    outlet = transport.outlet()
    for _ in range(20):
        hub.send(outlet, b"x" * 100)
        loop.tick()
    assert transport.cuts == 1
    assert outlet.lost == 0


def test_what_the_socket_took_later_is_not_lost(hub, loop):
    table, transport = ChannelTable(), FakeTransport()
    one = subscribe(table, transport, "/a/b")
    transport.is_stuck = True
    for _ in range(3):
        publish(hub, table, "/a/b", '"' + "x" * 68 + '"')
        loop.tick()
    size = transport.unsent // 3
    transport.unsent = size  # two of three writes were taken
    publish(hub, table, "/a/b", '"' + "x" * 68 + '"')
    loop.tick()
    assert one.outlet.delivered == 4
    assert one.outlet.count_lost() == 2
    assert one.outlet.count_lost() == 2


def test_a_backlog_that_was_taken_is_forgotten(hub, loop):
    table, transport = ChannelTable(), FakeTransport()
    one = subscribe(table, transport, "/a/b")
    transport.is_stuck = True
    publish(hub, table, "/a/b", '"1"')
    loop.tick()
    assert one.outlet.backlog
    transport.is_stuck, transport.unsent = False, 0
    publish(hub, table, "/a/b", '"2"')
    loop.tick()
    assert one.outlet.count_lost() == 0


@pytest.mark.parametrize("others", [(), ("/a/c",)])
def test_a_transport_that_is_gone_takes_nobody_with_it(hub, loop, others):
    """As asyncio's TLS transport does once it was closed twice."""

    def gone(*_):
        raise AttributeError

    table, healthy = ChannelTable(), FakeTransport()
    outlet = Outlet(write=gone, unsent=gone, cut=lambda: None)
    for number, channel in enumerate(("/a/b", *others)):
        subscribe(table, None, channel, id=f"x{number}", outlet=outlet)
    subscribe(table, healthy, "/a/b")
    publish(hub, table, "/a/b", '"1"')
    hub.send(outlet, b"answer")
    loop.tick()
    assert len(healthy.texts()) == 1
    assert (outlet.lost, outlet.look()) == (1, 0)


def test_delivered_counts_events_and_not_answers(hub, loop):
    table, transport = ChannelTable(), FakeTransport()
    outlet = transport.outlet()
    subscribe(table, transport, "/a/b", id="1", outlet=outlet)
    subscribe(table, transport, "/a/*", id="2", outlet=outlet)
    hub.send(outlet, b"answer")
    publish(hub, table, "/a/b", '"1"', '"2"')
    loop.tick()
    assert outlet.delivered == 4


def test_whoever_cuts_may_change_subscriptions_at_once(loop):
    hub = Hub(loop.call_soon, unsent_bytes=10)
    table, slow, quick = ChannelTable(), FakeTransport(), FakeTransport()
    slow.is_stuck = True
    outlet = Outlet(write=slow.write, unsent=lambda: slow.unsent, cut=lambda: leave())
    lagging = subscribe(table, slow, "/a/b", outlet=outlet)
    subscribe(table, quick, "/a/b")

    def leave():
        hub.flush()
        table.remove(lagging)

    for _ in range(3):
        publish(hub, table, "/a/b", '"x"')
        loop.tick()
    assert len(slow.writes) == 1
    assert len(quick.texts()) == 3


def test_any_sequence_delivers_what_a_simple_model_delivers():
    """Subscriptions, publishes, answers, ticks in any order against lists that just append."""
    rng = random.Random(20261124)
    channels = ["/a", "/a/b", "/a/b/c", "/a/d", "/e"]
    patterns = [*channels, "/a/*", "/a/b/*"]
    for _ in range(200):
        loop = Loop()
        hub, table = Hub(loop.call_soon, unsent_bytes=1 << 30), ChannelTable()
        transports = [FakeTransport() for _ in range(4)]
        outlets = [transport.outlet() for transport in transports]
        expected = [[] for _ in transports]
        live = []
        for number in range(40):
            who = rng.randrange(4)
            match rng.choice(["subscribe", "unsubscribe", "publish", "publish", "publish", "tick"]):
                case "subscribe":
                    hub.flush()
                    pattern = ChannelPattern.parse(rng.choice(patterns))
                    one = Subscription(f"i{number}", pattern, outlet=outlets[who])
                    table.add(one)
                    live.append((who, one))
                case "unsubscribe" if live:
                    hub.flush()
                    table.remove(live.pop(rng.randrange(len(live)))[1])
                case "publish":
                    path = rng.choice(channels)
                    publish(hub, table, path, f'"{number}"')
                    for owner, one in live:
                        prefix = one.path + "/"
                        if path.startswith(prefix) if one.is_wildcard else path == one.path:
                            expected[owner].append((one.id, number))
                case "tick":
                    loop.tick()
        loop.tick()
        hub.flush()
        for transport, wanted in zip(transports, expected, strict=True):
            seen = [(text.split('"')[3], int(text.split('"')[-2])) for text in transport.texts()]
            assert sorted(seen) == sorted(wanted)
            for one in {name for name, _ in wanted}:
                assert [n for name, n in seen if name == one] == [
                    n for name, n in wanted if name == one
                ]
            order = [number for _, number in seen]
            assert order == sorted(order)


def test_a_route_without_subscribers_sends_nothing(hub, loop):
    hub.publish(Route(direct=(), mixed=()), [b'"1"}'], size=4)
    loop.tick()
