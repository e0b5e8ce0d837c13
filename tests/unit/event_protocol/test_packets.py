from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.errors import LocalProtocolError, RemoteProtocolError
from event_protocol.packets import (
    CHUNK_BYTES,
    MessageCode,
    Packet,
    decode_packet,
    encode_packet,
    split,
)

names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
packets = st.builds(
    Packet,
    st.integers(0, 200),
    names,
    names,
    st.integers(0, 10**6),
    st.binary(max_size=200),
    st.booleans(),
)


def test_a_packet_is_written_letter_by_letter_as_the_bridge_writes_it():
    packet = Packet(MessageCode.NEXT, "0123cdef", "01a20d359d387297c4cc84b6", 0, b"HTTP/1", True)
    assert encode_packet(packet) == (
        '{"type":2,"source":"0123cdef","id":"01a20d359d387297c4cc84b6","index":0,'
        '"data":"SFRUUC8x","final":true}'
    )


@given(packets)
def test_every_packet_survives_the_way_there_and_back(packet):
    text = encode_packet(packet)
    assert decode_packet(text) == packet
    assert list(json.loads(text.encode())) == ["type", "source", "id", "index", "data", "final"]


def test_the_codes_are_those_of_sst_and_ours_begin_at_100():
    assert [code.name for code in sorted(MessageCode)] == [
        "INIT",
        "PING",
        "NEXT",
        "RESPONSE",
        "ERROR",
        "REBOOT",
        "INIT_ERROR",
        "TASK_START",
        "TASK_COMPLETE",
        "HELLO",
        "PROBE",
        "ACCEPTED",
        "BEAT",
        "CANCEL",
        "REPORT",
    ]
    assert [int(code) for code in sorted(MessageCode)] == [*range(9), *range(100, 106)]


def test_a_code_that_nobody_knows_yet_is_read_so_that_it_can_be_ignored():
    text = '{"type":250,"source":"dev","id":"a","index":0,"data":"","final":true}'
    assert decode_packet(text).type == 250


def test_members_that_nobody_knows_are_ignored():
    text = '{"v":9,"type":3,"source":"dev","id":"a","index":0,"data":"e30=","final":true}'
    assert decode_packet(text).data == b"{}"


GOOD = {"type": 3, "source": "dev", "id": "a", "index": 0, "data": "e30=", "final": True}


@pytest.mark.parametrize("name", GOOD)
def test_a_packet_lacks_no_member(name):
    text = json.dumps({key: value for key, value in GOOD.items() if key != name})
    with pytest.raises(RemoteProtocolError, match="the event is not a packet"):
        decode_packet(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "3"), ("type", True), ("type", -1), ("type", 3.0), ("type", None),
        ("source", 1), ("source", ""), ("source", "x" * 257), ("source", None),
        ("id", 1), ("id", ""), ("id", "x" * 257), ("id", "\ud800"),
        ("index", "0"), ("index", -1), ("index", False), ("index", 0.0),
        ("data", None), ("data", "e30"), ("data", "e3-_"), ("data", "!"), ("data", "é"),
        ("data", [1]),
        ("final", 1), ("final", "true"), ("final", None),
    ],
)  # fmt: skip
def test_a_member_of_another_kind_makes_no_packet(name, value):
    with pytest.raises(RemoteProtocolError, match="the event is not a packet") as caught:
        decode_packet(json.dumps(GOOD | {name: value}))
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "1", '"x"', "{", "[" * 100_000, "9" * 5000, "\ud800"]
)
def test_what_is_not_a_json_object_is_no_packet(text):
    with pytest.raises(RemoteProtocolError):
        decode_packet(text)


@pytest.mark.parametrize(
    "members",
    [
        {"type": -1},
        {"index": -1},
        {"source": ""},
        {"id": ""},
        {"source": "\ud800"},
        {"id": "x" * 257},
    ],
)
def test_a_packet_that_could_not_be_read_cannot_be_built(members):
    good = {"type": 3, "source": "dev", "id": "a", "index": 0, "data": b"", "final": True}
    with pytest.raises(LocalProtocolError):
        Packet(**good | members)


def test_a_packet_does_not_show_its_data():
    assert "secret" not in repr(Packet(0, "a", "b", 0, b"secret", True))


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (CHUNK_BYTES - 1, [CHUNK_BYTES - 1]),
        (CHUNK_BYTES, [CHUNK_BYTES, 0]),
        (CHUNK_BYTES + 1, [CHUNK_BYTES, 1]),
        (3 * CHUNK_BYTES, [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 0]),
    ],
)
def test_a_message_is_cut_into_full_buffers_and_a_final_rest_that_may_be_empty(size, sizes):
    parts = list(split(MessageCode.RESPONSE, source="dev", id="r", body=bytes(size)))
    assert [len(part.data) for part in parts] == sizes
    assert [part.index for part in parts] == list(range(len(sizes)))
    assert [part.final for part in parts] == [False] * (len(sizes) - 1) + [True]
    assert {(part.type, part.source, part.id) for part in parts} == {(3, "dev", "r")}


def test_a_full_packet_stays_below_what_appsync_allows_for_an_event():
    full = next(split(0, source="x" * 32, id="y" * 36, body=bytes(CHUNK_BYTES)))
    assert len(base64.b64encode(full.data)) == 174_764
    assert len(encode_packet(full).encode()) < 240 * 1024


def test_a_chunk_of_nothing_would_never_end():
    with pytest.raises(LocalProtocolError):
        next(split(0, source="a", id="b", body=b"x", chunk=0))
