"""Packets and descriptors between the processes of a lab, over real sockets."""

import contextlib
import os
import socket

import pytest

from natless.vpc import wire


@pytest.fixture
def ends():
    one, two = wire.pair()
    with one, two:
        yield one, two


def test_packets_stay_apart_and_in_order(ends):
    one, two = ends
    wire.send(one, {"id": 1, "text": "ü"})
    wire.send(one, {"id": 2})
    assert wire.receive(two) == ({"id": 1, "text": "ü"}, [])
    assert wire.receive(two) == ({"id": 2}, [])


def test_descriptors_travel_with_their_packet_and_close_on_exec(ends):
    one, two = ends
    reader, writer = os.pipe()
    wire.send(one, {}, descriptors=(writer,))
    os.close(writer)
    _, (received,) = wire.receive(two)
    assert not os.get_inheritable(received)
    os.write(received, b"hello")
    os.close(received)
    assert os.read(reader, 10) == b"hello"
    os.close(reader)


def test_the_longest_packet_fits_and_a_longer_one_is_refused_before_it_is_sent(ends):
    one, two = ends
    longest = {"x": "y" * (wire.PACKET_BYTES - len('{"x":""}'))}
    wire.send(one, longest, wait=False)
    assert wire.receive(two) == (longest, [])
    with pytest.raises(wire.PacketTooLong) as raised:
        wire.send(one, {"x": longest["x"] + "y"})
    assert raised.value.size == wire.PACKET_BYTES + 1
    wire.send(one, {"id": 1})
    assert wire.receive(two) == ({"id": 1}, [])


def test_the_end_of_the_other_side_is_told_on_both_ways(ends):
    one, two = ends
    one.close()
    assert wire.receive(two) is None
    with pytest.raises(BrokenPipeError):
        wire.send(two, {})


def test_an_end_with_packets_unread_is_an_end_as_well(ends):
    one, two = ends
    wire.send(two, {"nobody": "reads this"})
    one.close()
    assert wire.receive(two) is None


def test_whoever_must_not_wait_is_told_when_nobody_reads(ends):
    one, two = ends
    sent = 0
    with contextlib.suppress(BlockingIOError):
        for sent in range(1000):  # noqa: B007  counted for the comparison below
            wire.send(one, {"fact": "x" * 10_000}, wait=False)
    assert 0 < sent < 999
    assert wire.receive(two) is not None


def test_nothing_yet_is_not_the_end(ends):
    one, _ = ends
    one.setblocking(False)
    with pytest.raises(BlockingIOError):
        wire.receive(one)
    assert one.type is socket.SOCK_SEQPACKET
