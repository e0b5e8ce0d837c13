from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.codec import UNSUPPORTED, decode, encode
from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import (
    Accepted,
    BroadcastError,
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Frame,
    KeepAlive,
    OperationError,
    Publish,
    PublishError,
    PublishSuccess,
    Rejected,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    Unsubscribe,
    UnsubscribeError,
    UnsubscribeSuccess,
    WireError,
)

UNAUTHORIZED = WireError("UnauthorizedException", "You are not authorized to make this call.")

# What travels, letter by letter: the samples of the AWS AppSync Events developer guide
# (event-api-websocket-protocol), corrected by what clients show (data.event is a string).
WIRE = [
    ('{"type":"connection_init"}', ConnectionInit()),
    ('{"type":"connection_ack","connectionTimeoutMs":300000}', ConnectionAck(300.0)),
    ('{"type":"ka"}', KeepAlive()),
    (
        '{"type":"subscribe","id":"s-1","channel":"/orders/eu/*",'
        '"authorization":{"x-api-key":"da2-x"}}',
        Subscribe("s-1", "/orders/eu/*", {"x-api-key": "da2-x"}),
    ),
    ('{"id":"s-1","type":"subscribe_success"}', SubscribeSuccess("s-1")),
    (
        '{"id":"s-1","type":"subscribe_error","errors":[{"errorType":"Unauthorized","message":"No"}]}',
        SubscribeError("s-1", (WireError("Unauthorized", "No"),)),
    ),
    ('{"type":"unsubscribe","id":"s-1"}', Unsubscribe("s-1")),
    ('{"id":"s-1","type":"unsubscribe_success"}', UnsubscribeSuccess("s-1")),
    (
        '{"id":"s-9","type":"unsubscribe_error","errors":'
        '[{"errorType":"UnknownOperationError","message":"Unknown operation id s-9"}]}',
        UnsubscribeError("s-9", (WireError("UnknownOperationError", "Unknown operation id s-9"),)),
    ),
    (
        '{"type":"publish","id":"p-1","channel":"/orders/eu/42","events":["{\\"qty\\":3}"],'
        '"authorization":{"x-api-key":"da2-x"}}',
        Publish("p-1", "/orders/eu/42", ('{"qty":3}',), {"x-api-key": "da2-x"}),
    ),
    (
        '{"id":"p-1","type":"publish_success","successful":[{"identifier":"3f0c","index":0}],'
        '"failed":[{"code":"EventTooLargeException","identifier":"77aa","index":1,'
        '"message":"Transformed event is larger than 240KB"}]}',
        PublishSuccess(
            "p-1",
            (Accepted("3f0c", 0),),
            (
                Rejected(
                    "77aa", 1, "EventTooLargeException", "Transformed event is larger than 240KB"
                ),
            ),
        ),
    ),
    (
        '{"id":"p-1","type":"publish_error","errors":[{"errorType":"UnauthorizedException"}]}',
        PublishError("p-1", (WireError("UnauthorizedException"),)),
    ),
    ('{"id":"s-1","type":"data","event":"{\\"qty\\":3}"}', Data("s-1", '{"qty":3}')),
    (
        '{"id":"s-1","type":"broadcast_error","errors":'
        '[{"errorType":"MessageProcessingError","message":"m"}]}',
        BroadcastError("s-1", (WireError("MessageProcessingError", "m"),)),
    ),
    (
        '{"type":"error","id":"x-1","errors":[{"errorType":"UnsupportedOperation",'
        '"message":"Operation not supported through the realtime channel"}]}',
        OperationError((WireError("UnsupportedOperation", UNSUPPORTED),), "x-1"),
    ),
    (
        '{"type":"error","errors":[{"errorType":"LimitExceededError"}]}',
        OperationError((WireError("LimitExceededError"),)),
    ),
    (
        '{"type":"connection_error","errors":[{"errorType":"UnauthorizedException",'
        '"errorCode":401,"message":"You are not authorized to make this call."}]}',
        ConnectionRefused(
            (WireError(UNAUTHORIZED.error_type, UNAUTHORIZED.message, error_code=401),)
        ),
    ),
]


@pytest.mark.parametrize(("text", "frame"), WIRE)
def test_a_frame_is_written_letter_by_letter_as_aws_writes_it(text, frame):
    assert encode(frame) == text


@pytest.mark.parametrize(("text", "frame"), WIRE)
def test_a_text_as_aws_writes_it_is_read(text, frame):
    assert decode(text) == frame


def test_the_samples_cover_every_frame():
    assert {type(frame) for _, frame in WIRE} == set(Frame.__args__)


ids = st.from_regex(r"[A-Za-z0-9_+-]{1,128}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs",)))
credentials = st.dictionaries(texts, texts, max_size=3)
errors = st.lists(
    st.builds(WireError, texts.filter(bool), st.none() | texts, st.none() | st.integers()),
    min_size=1,
    max_size=2,
).map(tuple)
frames = st.one_of(
    st.builds(ConnectionAck, st.integers(1, 10**9).map(lambda ms: ms / 1000)),
    st.builds(Subscribe, ids, texts, credentials),
    st.builds(SubscribeSuccess, ids),
    st.builds(SubscribeError, ids, errors),
    st.builds(Unsubscribe, ids),
    st.builds(UnsubscribeSuccess, ids),
    st.builds(UnsubscribeError, ids, errors),
    st.builds(Publish, ids, texts, st.lists(texts, min_size=1, max_size=5).map(tuple), credentials),
    st.builds(
        PublishSuccess,
        ids,
        st.lists(st.builds(Accepted, texts, st.integers(0, 4)), max_size=3).map(tuple),
        st.lists(st.builds(Rejected, texts, st.integers(0, 4), texts, texts), max_size=3).map(
            tuple
        ),
    ),
    st.builds(PublishError, ids, errors),
    st.builds(Data, ids, texts.filter(bool)),
    st.builds(BroadcastError, ids, errors),
    st.builds(OperationError, errors, st.none() | ids),
    st.builds(ConnectionRefused, errors),
)


@given(frames)
def test_every_frame_survives_the_way_there_and_back(frame):
    text = encode(frame)
    assert decode(text) == frame
    assert json.loads(text.encode().decode())["type"] == frame.TYPE


def rejected(text):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(text)
    error = caught.value
    return str(error), error.error_type, error.frame_id, error.frame_type


@pytest.mark.parametrize(
    "text", ["", "nonsense", "{", '{"type":"ka"}x', "\x00", "\ud800", "1" * 5000]
)
def test_what_is_not_json_is_a_bad_request(text):
    assert rejected(text) == ("the frame is not JSON", "BadRequestException", None, None)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"ka"', "true", '[{"type":"ka"}]'])
def test_json_that_is_not_an_object_is_a_bad_request(text):
    assert rejected(text) == ("the frame is not a JSON object", "BadRequestException", None, None)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"type":"ka","payload":['])
def test_json_nested_without_end_is_a_bad_request(opening):
    assert rejected(opening * 100_000)[0] == "the frame is not JSON"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused_even_where_they_would_be_ignored(number):
    assert rejected(f'{{"type":"ka","other":{number}}}')[0] == "the frame is not JSON"


@pytest.mark.parametrize("members", ["", '"type":null', '"type":1', '"type":["ka"]', '"type":{}'])
def test_a_frame_without_a_type_is_a_bad_request(members):
    assert rejected(f"{{{members}}}") == (
        "type must be a string",
        "BadRequestException",
        None,
        None,
    )


def test_an_unknown_type_is_an_unsupported_operation_in_aws_own_words():
    assert rejected('{"type":"start","id":"x-1"}') == (
        "Operation not supported through the realtime channel",
        "UnsupportedOperation",
        "x-1",
        None,
    )


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe", "publish"])
@pytest.mark.parametrize("members", ["", ',"id":null', ',"id":7', ',"id":""', ',"id":"a b"'])
def test_an_operation_without_a_legal_id_cannot_be_answered_by_name(kind, members):
    text = f'{{"type":"{kind}","channel":"/a","events":["1"]{members}}}'
    message, error_type, frame_id, frame_type = rejected(text)
    assert message.startswith("id must be")
    assert (error_type, frame_id, frame_type) == ("BadRequestException", None, kind)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ('"type":"subscribe"', "channel must be a string"),
        ('"type":"subscribe","channel":1', "channel must be a string"),
        ('"type":"subscribe","channel":"\\ud800"', "channel holds an unpaired surrogate"),
        (
            '"type":"subscribe","channel":"/a","authorization":"k"',
            "authorization must be an object",
        ),
        (
            '"type":"subscribe","channel":"/a","authorization":{"a":1}',
            "a value in authorization must be a string",
        ),
        ('"type":"publish","channel":"/a"', "events must be a list of strings"),
        ('"type":"publish","channel":"/a","events":"1"', "events must be a list of strings"),
        ('"type":"publish","channel":"/a","events":[]', "events must hold at least one event"),
        ('"type":"publish","channel":"/a","events":[{"q":1}]', "each event must be a string"),
        (
            '"type":"publish","channel":"/a","events":["\\ud83d"]',
            "each event holds an unpaired surrogate",
        ),
        ('"type":"publish","events":["1"]', "channel must be a string"),
        ('"type":"data"', "event must be a string"),
        ('"type":"data","event":["1"]', "event must be a string"),
        ('"type":"data","event":""', "event must not be empty"),
        ('"type":"publish_success","successful":[1]', "successful and failed must list events"),
        ('"type":"publish_success","successful":7', "successful and failed must list events"),
        ('"type":"publish_success","failed":[{}]', "successful and failed must list events"),
        (
            '"type":"publish_success","successful":[{"identifier":"a","index":1e999}]',
            "successful and failed must list events",
        ),
    ],
)
def test_a_frame_that_breaks_a_rule_of_its_type_can_be_answered_by_name(members, message):
    kind = json.loads("{" + members + "}")["type"]
    assert rejected(f'{{"id":"x-1",{members}}}') == (message, "BadRequestException", "x-1", kind)


@pytest.mark.parametrize(
    "value",
    ["null", '"300000"', "true", "[1]", "0", "-5", "1e999", "9" * 400, "{}"],
)
def test_an_ack_needs_a_number_of_milliseconds_that_is_one(value):
    _, error_type, _, kind = rejected(f'{{"type":"connection_ack","connectionTimeoutMs":{value}}}')
    assert (error_type, kind) == ("BadRequestException", "connection_ack")


def test_an_ack_may_have_a_fraction_of_a_millisecond():
    assert decode('{"type":"connection_ack","connectionTimeoutMs":1500.5}') == ConnectionAck(1.5005)


def test_members_that_nobody_knows_are_ignored():
    text = (
        '{"type":"subscribe","id":"a","channel":"/a","authorization":{"x-api-key":"k"},'
        '"payload":{"extensions":{"authorization":{}}},"channels":[1]}'
    )
    assert decode(text) == Subscribe("a", "/a", {"x-api-key": "k"})
    assert decode('{"type":"connection_init","payload":{}}') == ConnectionInit()


def test_of_a_repeated_member_the_last_one_counts():
    assert decode('{"type":"publish","type":"unsubscribe","id":"a","id":"b"}') == Unsubscribe("b")


@pytest.mark.parametrize("members", ["", ',"authorization":null', ',"authorization":{}'])
def test_whether_an_operation_may_come_without_credentials_is_not_for_the_codec_to_say(members):
    assert decode(f'{{"type":"subscribe","id":"a","channel":"/a"{members}}}').authorization == {}


def test_a_keep_alive_from_a_client_is_read():
    assert decode(' {"type" : "ka"}\n') == KeepAlive()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ('{"errorType":"A","message":"m"}', (WireError("A", "m"),)),
        ('[{"errorType":"A"},{"errorType":"B","errorCode":400}]',
         (WireError("A"), WireError("B", error_code=400))),
        ('[{"message":"m"}]', (WireError("UnknownError", "m"),)),
        ('[{"errorType":7,"message":["m"],"errorCode":"401"}]', (WireError("UnknownError"),)),
        ('[{"errorType":"A","errorCode":true}]', (WireError("A"),)),
        ("[]", (WireError("UnknownError"),)),
        ("null", (WireError("UnknownError"),)),
        ("[1,null]", (WireError("UnknownError"),)),
    ],
)  # fmt: skip
def test_an_error_is_not_lost_because_of_its_shape(errors, expected):
    assert decode(f'{{"type":"subscribe_error","id":"a","errors":{errors}}}').errors == expected
    assert decode(f'{{"type":"connection_error","errors":{errors}}}').errors == expected


def test_an_error_without_any_list_still_arrives():
    assert decode('{"type":"error"}') == OperationError((WireError("UnknownError"),))


def test_an_error_whose_id_is_illegal_arrives_without_it():
    assert decode('{"type":"error","id":"a b","errors":[{"errorType":"A"}]}').id is None


def test_a_publish_success_may_leave_a_list_out():
    assert decode('{"type":"publish_success","id":"a"}') == PublishSuccess("a", ())


def test_a_numeric_code_of_a_failed_event_is_read_as_text():
    text = '{"type":"publish_success","id":"a","failed":[{"identifier":"i","index":0,"code":400}]}'
    assert decode(text).failed == (Rejected("i", 0, "400", ""),)


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"subscribe","id":"a","channel":1,"authorization":{"x-api-key":"da2-secret"}}',
        '{"type":"subscribe","id":"a","channel":"/a","authorization":{"x-api-key":["da2-secret"]}}',
        '{"type":"subscribe","authorization":{"x-api-key":"da2-secret"}',
        '{"type":"subscribe","id":"a","channel":"/a","authorization":{"k":"da2-secret\\ud800"}}',
        '{"type":"da2-secret"}',
    ],
)
def test_an_error_never_repeats_what_was_sent(text):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(text)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "da2-secret" not in repr(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def test_events_keep_the_publishers_spaces_and_escapes():
    event = '{ "a" : "\\u00e9\\ud83d\\ude00" , "b": 1.0e2 }'
    assert decode(encode(Publish("p", "/a", (event,)))).events == (event,)
    assert decode(encode(Data("s", event))).event == event
