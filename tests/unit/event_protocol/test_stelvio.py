import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.errors import LocalProtocolError, RemoteProtocolError
from event_protocol.stelvio import (
    CHUNK_LENGTH,
    WHOLE_BYTES,
    Answer,
    Chunks,
    Request,
    answer_channel,
    channel_segment,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    request_channel,
    split,
)

# As the stub of Stelvio 0.10.2b8 wrote it.
OBSERVED = (
    '{"requestId": "r1", "invoke_id": "r1", "endpointId": "ep-1", "functionName": "fn",'
    ' "event": {"body": "hello"}, "context": {"invoke_id": "r1", "client_context": null,'
    ' "cognito_identity": null, "epoch_deadline_time_in_ms": 1893456000000,'
    ' "invoked_function_arn": "arn:x", "tenant_id": null}}'
)
texts = st.text(max_size=50)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def test_a_request_is_read_and_written_as_the_stub_writes_it():
    request = decode_request(OBSERVED)
    assert request == Request(
        request_id="r1",
        endpoint_id="ep-1",
        function_name="fn",
        event={"body": "hello"},
        deadline=1893456000.0,
        arn="arn:x",
    )
    assert encode_request(request) == OBSERVED


@given(event=json_values, name=texts)
def test_any_request_survives(event, name):
    request = Request("r", name, name, event, client_context=event, identity=event, tenant_id=name)
    assert decode_request(encode_request(request)) == request


@given(result=json_values)
def test_any_result_survives(result):
    assert decode_answer(encode_answer(Answer("r", result))) == Answer("r", result)


def test_an_error_has_its_type_and_its_lines():
    answer = Answer("r", error="no", error_type="ValueError", trace=["a", "b"])
    assert json.loads(encode_answer(answer)) == {
        "requestId": "r",
        "success": False,
        "error": "no",
        "errorType": "ValueError",
        "stackTrace": ["a", "b"],
    }
    assert decode_answer(encode_answer(answer)) == answer


def test_an_error_of_which_little_is_told_is_an_error_all_the_same():
    answer = decode_answer('{"requestId":"r","success":false}')
    assert (answer.error, answer.error_type, answer.trace) == ("None", "Error", [])


@pytest.mark.parametrize(
    ("name", "segment"), [("my_app", "my-app"), ("_x", "s-x"), ("9", "s9"), ("dev", "dev")]
)
def test_names_become_segments_as_stelvio_writes_them(name, segment):
    assert channel_segment(name) == segment
    assert request_channel(name, "dev") == f"/stelvio/{segment}/dev/in"
    assert answer_channel("app", name) == f"/stelvio/app/{segment}/out"


def test_what_fits_travels_whole():
    text = "x" * WHOLE_BYTES
    assert list(split(text, request_id="r", chunk_id="c")) == [text]


@given(
    size=st.integers(WHOLE_BYTES + 1, 4 * CHUNK_LENGTH),
    order=st.randoms(use_true_random=False),
)
def test_chunks_fit_together_in_any_order_and_repeated(size, order):
    text = ("0123456789é" * (size // 11 + 1))[:size]
    events = list(split(text, request_id="r", chunk_id="c"))
    assert all(len(event) < 240 * 1024 for event in events)
    assert [json.loads(event)["requestId"] for event in events] == ["r"] * len(events)
    last = events.pop()
    mixed = [*events, *events]
    order.shuffle(mixed)
    chunks = Chunks()
    assert [chunks.receive(event) for event in mixed] == [None] * len(mixed)
    assert chunks.receive(last) == text


def test_450_kilobytes_are_four_events_as_observed():
    assert len(list(split("x" * 450_000, request_id="r", chunk_id="c"))) == 4


def chunk(**changes):
    members = {
        "chunked": True,
        "chunkId": "c",
        "requestId": "r",
        "chunkIndex": 0,
        "totalChunks": 2,
        "payload": "eHh4",
    }
    return json.dumps(members | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"chunkIndex": 2},
        {"chunkIndex": -1},
        {"chunkIndex": True},
        {"chunkIndex": "0"},
        {"totalChunks": None},
        {"chunkId": 1},
        {"payload": None},
        {"totalChunks": 1, "payload": "###"},
        {"totalChunks": 1, "payload": "/w=="},
    ],
)
def test_what_is_no_chunk_is_refused(changes):
    with pytest.raises(RemoteProtocolError):
        Chunks().receive(chunk(**changes))


def test_chunks_that_disagree_on_their_number_are_refused():
    chunks = Chunks()
    chunks.receive(chunk())
    with pytest.raises(RemoteProtocolError, match="disagree"):
        chunks.receive(chunk(chunkIndex=1, totalChunks=3))


def test_an_endless_message_and_endless_messages_are_bounded():
    with pytest.raises(RemoteProtocolError, match="too long"):
        Chunks(max_message_bytes=1).receive(chunk(payload="x" * 100))
    chunks = Chunks(max_open=2)
    for name in "abc":
        assert chunks.receive(chunk(chunkId=name)) is None
    assert chunks.receive(chunk(chunkId="a", chunkIndex=1)) is None  # it was forgotten
    assert chunks.receive(chunk(chunkId="c", chunkIndex=1, payload="eA==")) is not None
    with pytest.raises(LocalProtocolError):
        Chunks(max_open=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "1",
        '{"requestId":1}',
        '{"requestId":"r"}',
        '{"requestId":"r","context":{}}',
        '{"context":{"invoked_function_arn":1},"requestId":"r","endpointId":"","functionName":""}',
        "[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(RemoteProtocolError):
        decode_request(text)


def test_a_deadline_that_is_none_is_none():
    for value in ("null", '"soon"', "true"):
        text = OBSERVED.replace("1893456000000", value)
        assert decode_request(text).deadline is None
