from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.errors import RemoteProtocolError
from event_protocol.packets import CHUNK_BYTES, MessageCode, Packet, split
from event_protocol.reassembly import Message, Reassembler

R, E = MessageCode.RESPONSE, MessageCode.ERROR


def parts(body, *, chunk=4, code=R, source="dev", name="r"):
    return list(split(code, source=source, id=name, body=body, chunk=chunk))


def feed(reassembler, packets):
    received = [reassembler.receive(packet) for packet in packets]
    return [message for message in received if message is not None]


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES]
)
def test_a_body_arrives_whole_also_when_it_is_an_exact_multiple_of_a_packet(size):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    [message] = feed(Reassembler(), parts(body, chunk=CHUNK_BYTES))
    assert message == Message(R, "dev", "r", body)


@given(st.binary(max_size=60), st.integers(1, 9), st.randoms(use_true_random=False), st.data())
def test_order_and_repeats_do_not_matter(body, chunk, random, data):
    packets = parts(body, chunk=chunk)
    repeats = data.draw(st.lists(st.sampled_from(packets), max_size=10))
    travelling = packets + repeats
    random.shuffle(travelling)
    reassembler = Reassembler()
    assert feed(reassembler, travelling) == [Message(R, "dev", "r", body)]
    assert reassembler.buffered_packets == 0
    assert reassembler.unfinished == ()


@given(st.binary(min_size=8, max_size=60), st.integers(1, 4), st.data())
def test_a_message_with_a_gap_never_arrives(body, chunk, data):
    packets = parts(body, chunk=chunk)
    packets.remove(data.draw(st.sampled_from(packets)))
    reassembler = Reassembler()
    assert feed(reassembler, packets) == []
    assert reassembler.buffered_packets == len(packets)
    assert reassembler.unfinished == (("dev", "r", R),)


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_messages_that_travel_together_are_told_apart(bodies, random):
    packets = [part for n, body in enumerate(bodies) for part in parts(body, name=f"m{n}")]
    random.shuffle(packets)
    messages = feed(Reassembler(), packets)
    assert {message.id: message.body for message in messages} == {
        f"m{n}": body for n, body in enumerate(bodies)
    }


def test_an_id_that_was_delivered_is_not_delivered_again():
    reassembler = Reassembler()
    assert len(feed(reassembler, parts(b"first"))) == 1
    assert feed(reassembler, parts(b"first")) == []
    assert feed(reassembler, parts(b"another body")) == []
    assert reassembler.buffered_packets == 0


def test_an_error_arrives_although_a_response_with_its_id_was_begun():
    reassembler = Reassembler()
    assert feed(reassembler, parts(b"abcdefgh")[:1]) == []
    [message] = feed(reassembler, parts(b"{}", code=E))
    assert (message.code, message.body) == (E, b"{}")


def test_the_same_id_from_another_source_is_another_message():
    reassembler = Reassembler()
    messages = feed(reassembler, parts(b"one") + parts(b"two", source="other"))
    assert [(message.source, message.body) for message in messages] == [
        ("dev", b"one"),
        ("other", b"two"),
    ]


def test_a_first_packet_with_other_content_begins_the_message_anew():
    reassembler = Reassembler()
    feed(reassembler, parts(b"aaaabbbb")[:2])
    [message] = feed(reassembler, parts(b"ccccdd"))
    assert message.body == b"ccccdd"
    assert reassembler.buffered_packets == 0


@pytest.mark.parametrize(
    "contradiction",
    [
        [(0, b"a", False), (1, b"b", False), (1, b"c", False)],
        [(1, b"b", True), (2, b"c", False)],
        [(2, b"c", False), (1, b"b", True)],
        [(1, b"b", True), (3, b"d", True)],
        [(2, b"c", True), (1, b"b", True)],
        [(2, b"c", True), (2, b"c", False)],
    ],
)
def test_packets_that_contradict_each_other_end_their_message(contradiction):
    reassembler = Reassembler()
    *first, last = [Packet(R, "dev", "r", *each) for each in contradiction]
    assert feed(reassembler, first) == []
    with pytest.raises(RemoteProtocolError):
        reassembler.receive(last)
    assert (reassembler.buffered_packets, reassembler.abandoned) == (0, 1)
    assert feed(reassembler, parts(b"abc")) == []
    assert len(feed(reassembler, parts(b"abc", name="next"))) == 1


def test_a_message_that_grows_too_large_is_given_up():
    reassembler = Reassembler(max_message_bytes=10)
    packets = parts(b"x" * 16)
    with pytest.raises(RemoteProtocolError, match="larger than 10 bytes"):
        feed(reassembler, packets)
    assert feed(reassembler, packets) == []
    assert reassembler.buffered_packets == 0


def test_a_message_may_be_exactly_as_large_as_allowed():
    [message] = feed(Reassembler(max_message_bytes=10), parts(b"x" * 10))
    assert len(message.body) == 10


def test_too_many_waiting_packets_push_out_the_message_that_was_touched_longest_ago():
    reassembler = Reassembler(max_buffered_packets=4)
    old, young = parts(b"oldoldold", name="old"), parts(b"youngyoung", name="young")
    feed(reassembler, [young[0], old[0], old[1], young[1]])  # not the one that began first
    assert reassembler.abandoned == 0
    feed(reassembler, parts(b"third message", name="third")[:1])
    assert reassembler.abandoned == 1
    assert reassembler.unfinished == (("dev", "young", R), ("dev", "third", R))
    assert feed(reassembler, old[2:]) == []
    assert len(feed(reassembler, young[2:])) == 1


def test_too_many_waiting_bytes_push_out_a_message_too():
    reassembler = Reassembler(max_message_bytes=10, max_buffered_bytes=12)
    feed(reassembler, parts(b"x" * 10, name="old", chunk=8)[:1])
    feed(reassembler, parts(b"x" * 10, name="young", chunk=8)[:1])
    assert reassembler.unfinished == (("dev", "young", R),)


def test_a_message_of_more_packets_than_may_wait_gives_way_to_nothing_else():
    reassembler = Reassembler(max_buffered_packets=2)
    assert feed(reassembler, parts(b"x" * 20)) == []
    assert (reassembler.buffered_packets, reassembler.abandoned) == (0, 1)


@given(st.lists(st.integers(0, 30), max_size=200))
def test_what_is_held_stays_bounded_whatever_arrives(ids):
    reassembler = Reassembler(max_buffered_packets=5, max_remembered=3)
    for n, id_ in enumerate(ids):
        reassembler.receive(Packet(R, "dev", f"m{id_}", n % 7 + 1, b"x", False))
        assert reassembler.buffered_packets <= 5
        assert len(reassembler._finished) <= 3


def test_only_so_many_finished_messages_are_remembered():
    reassembler = Reassembler(max_remembered=2)
    for n in range(3):
        feed(reassembler, parts(b"x", name=f"m{n}"))
    assert len(feed(reassembler, parts(b"x", name="m0"))) == 1
    assert feed(reassembler, parts(b"x", name="m2")) == []


def test_a_message_can_be_given_up_by_its_receiver():
    reassembler = Reassembler()
    feed(reassembler, parts(b"abcdefgh")[:1])
    reassembler.abandon("dev", "r", R)
    reassembler.abandon("dev", "nobody", R)
    assert feed(reassembler, parts(b"abcdefgh")) == []
    assert (reassembler.buffered_packets, reassembler.abandoned) == (0, 1)


def test_a_message_does_not_show_its_body():
    assert "secret" not in repr(Message(0, "a", "b", b"secret"))
