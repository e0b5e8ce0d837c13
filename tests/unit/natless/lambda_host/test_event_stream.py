"""AWS's event-stream encoding, read by botocore."""

from __future__ import annotations

import json

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from natless.lambda_host.event_stream import encode_message, invoke_complete, payload_chunk


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
