from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.graphql_codec import (
    ConnectionInit,
    FrameIllegal,
    KeepAlive,
    Start,
    Stop,
    data_prefix,
    data_tail,
    decode,
    encode_ack,
    encode_complete,
    encode_error,
    encode_refusal,
    encode_start_ack,
)

START = {
    "id": "1",
    "type": "start",
    "payload": {
        "data": '{"query":"subscription {x}"}',
        "extensions": {"authorization": {"host": "h", "x-api-key": "k", "odd": 1}},
    },
}


def test_client_frames_are_read():
    assert decode('{"type":"connection_init","payload":{}}') == ConnectionInit()
    assert decode('{"type":"ka"}') == KeepAlive()
    assert decode('{"type":"stop","id":"1","more":[]}') == Stop("1")
    start = decode(json.dumps(START))
    assert start == Start("1", START["payload"]["data"], {"host": "h", "x-api-key": "k"})


def test_a_start_without_credentials_has_none():
    frame = decode('{"id":"1","type":"start","payload":{"data":"{}"}}')
    assert frame == Start("1", "{}", {})


def test_credentials_are_not_shown():
    assert "k" not in repr(decode(json.dumps(START))).partition("data")[2].split("}'")[1]


@pytest.mark.parametrize(
    ("text", "frame_id", "error_type"),
    [
        ("{", None, "BadRequestException"),
        ("[]", None, "BadRequestException"),
        ("[" * 50_000, None, "BadRequestException"),
        ("{}", None, "UnsupportedOperation"),
        ('{"type":"subscribe","id":"a"}', "a", "UnsupportedOperation"),
        ('{"type":["start"],"id":""}', None, "UnsupportedOperation"),
        ('{"type":"start"}', None, "BadRequestException"),
        ('{"type":"start","id":1}', None, "BadRequestException"),
        ('{"type":"start","id":"a"}', "a", "BadRequestException"),
        ('{"type":"start","id":"a","payload":[]}', "a", "BadRequestException"),
        ('{"type":"start","id":"a","payload":{"data":{}}}', "a", "BadRequestException"),
        (json.dumps({"type": "stop", "id": "a" * 129}), None, "BadRequestException"),
        ('{"type":"stop"}', None, "BadRequestException"),
    ],
)
def test_what_is_no_frame_is_refused_by_name(text, frame_id, error_type):
    with pytest.raises(FrameIllegal) as caught:
        decode(text)
    assert (caught.value.frame_id, caught.value.error_type) == (frame_id, error_type)


def test_server_frames_have_everything_inside_payload():
    assert json.loads(encode_ack(300.0)) == {
        "type": "connection_ack",
        "payload": {"connectionTimeoutMs": 300_000},
    }
    assert json.loads(encode_start_ack("1")) == {"id": "1", "type": "start_ack"}
    assert json.loads(encode_complete("1")) == {"id": "1", "type": "complete"}
    assert json.loads(encode_error("1", "A", "b")) == {
        "id": "1",
        "type": "error",
        "payload": {"errors": [{"errorType": "A", "message": "b"}]},
    }
    assert json.loads(encode_error(None, "A", None)) == {
        "type": "error",
        "payload": {"errors": [{"errorType": "A"}]},
    }
    assert json.loads(encode_refusal("A", "b", 401)) == {
        "payload": {"errors": [{"errorType": "A", "message": "b", "errorCode": 401}]},
        "type": "connection_error",
    }


@given(st.text(st.characters(), min_size=1, max_size=128), st.text(st.characters()))
def test_a_data_frame_is_json_whatever_the_id_and_the_payload(frame_id, text):
    frame = data_prefix(frame_id) + data_tail({"data": {"subscribe": {"data": text}}})
    assert json.loads(frame) == {
        "id": frame_id,
        "type": "data",
        "payload": {"data": {"subscribe": {"data": text}}},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "id", "payload", "data", "extensions", "authorization"]),
            inner | st.sampled_from(["start", "stop", "ka", "connection_init"]),
            max_size=4,
        )
    ),
)


@given(st.one_of(st.text(), JSON.map(json.dumps)))
@example('{"type":"start","id":"a","payload":{"data":"","extensions":{"authorization":[]}}}')
def test_any_text_is_a_frame_or_is_refused(text):
    try:
        answer = decode(text)
    except FrameIllegal as error:
        answer = encode_error(error.frame_id, error.error_type, str(error)).encode()
    assert isinstance(answer, (ConnectionInit, KeepAlive, Start, Stop, bytes))
