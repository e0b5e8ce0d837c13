"""AWS's event-stream encoding, read by botocore."""

from __future__ import annotations

import io
import json
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from natless.lambda_host.event_stream import (
    encode_message,
    invoke_complete,
    payload_chunk,
    read_messages,
)


def read(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(dict(event.headers), event.payload) for event in buffer]


def test_a_chunk_of_the_payload_is_an_event():
    [(headers, payload)] = read(payload_chunk(b"\x00\xffdata"))
    assert payload == b"\x00\xffdata"
    assert headers == {
        ":event-type": "PayloadChunk",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }


def test_the_end_says_only_what_there_is_to_say():
    [(headers, payload)] = read(invoke_complete())
    assert (headers[":event-type"], json.loads(payload)) == ("InvokeComplete", {})
    [(_, payload)] = read(
        invoke_complete(error_code="Sandbox.Timedout", error_details="{}", log_result="TG9n")
    )
    assert json.loads(payload) == {
        "ErrorCode": "Sandbox.Timedout",
        "ErrorDetails": "{}",
        "LogResult": "TG9n",
    }


@given(
    st.dictionaries(st.text("abc-:", min_size=1, max_size=20), st.text(max_size=50), max_size=5),
    st.binary(max_size=2000),
)
def test_every_message_comes_back(headers, payload):
    assert read(encode_message(headers, payload)) == [(headers, payload)]


def take(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    return list(read_messages(io.BytesIO(data).read))


@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.text("abc-:", min_size=1, max_size=20), st.text(max_size=50), max_size=5
            ),
            st.binary(max_size=500),
        ),
        max_size=4,
    )
)
def test_what_is_written_can_be_read(messages):
    assert take(b"".join(encode_message(*each) for each in messages)) == messages


@pytest.mark.parametrize("spoil", [lambda d: d[:-1], lambda d: b"x" + d[1:], lambda d: d[:5]])
def test_a_stream_that_is_none_is_refused(spoil):
    with pytest.raises(ValueError, match="event stream"):
        take(spoil(payload_chunk(b"data")))


def test_a_header_of_another_kind_is_refused():
    message = bytearray(encode_message({"a": "bc"}, b""))
    message[14] = 6  # bytes, not a text
    message[-4:] = zlib.crc32(message[:-4]).to_bytes(4)
    with pytest.raises(ValueError, match="kind 6"):
        take(bytes(message))
