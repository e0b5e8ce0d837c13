import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.errors import RemoteProtocolError
from event_protocol.extension import (
    FEATURES,
    Accepted,
    Beat,
    Cancel,
    Feature,
    Hello,
    Probe,
    decode_report,
    encode_report,
)
from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy, encode_record

MESSAGES = [
    Hello(frozenset({Feature.BEAT, Feature.REPORT}), "a1b2", 1_795_543_466.556),
    Probe("89100973d803cd58", 1_795_543_466.556),
    Accepted("r-1", 1_795_543_466.5),
    Beat("r-1", 1_795_543_466.5),
    Beat("r-1", 1_795_543_466.5, is_debugging=True),
    Cancel("r-1", "deliver timeout"),
]
RECORD = InvocationRecord(
    "r-1",
    "w" * 32,
    cold=True,
    strategy=Strategy.WORKER,
    started=1.0,
    finished=2.5,
    spans=(Span(Phase.PROBE, 1.0, 1.5, Outcome.OK, "subscribe.live", 2.0, {"attempt": 1}),),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_what_one_side_says_the_other_understands(message):
    assert type(message).decode(message.encode()) == message


def test_a_report_is_the_record_itself():
    assert decode_report(encode_report(encode_record(RECORD))) == RECORD
    assert json.loads(encode_report(encode_record(RECORD)))["v"] == 1


def test_moments_are_milliseconds_on_the_wire():
    assert json.loads(Accepted("r-1", 1.5).encode()) == {"requestId": "r-1", "t": 1500}


def test_a_beat_says_so_only_while_a_debugger_is_attached():
    assert "debugging" not in json.loads(Beat("r-1", 1.0).encode())
    assert json.loads(Beat("r-1", 1.0, is_debugging=True).encode())["debugging"] is True


def test_a_hello_may_name_features_that_this_version_does_not_know():
    body = b'{"v":2,"features":["beat","telepathy",7],"instance":"x","now":0}'
    hello = Hello.decode(body)
    assert hello.features == {"beat", "telepathy"}
    assert hello.features & {*FEATURES} == {Feature.BEAT}


@pytest.mark.parametrize("kind", [Hello, Probe, Accepted, Beat, Cancel])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[1]",
        b"null",
        b'{"requestId":7,"n":7,"features":7}',
        b'{"requestId":"r","n":"x","features":"all","reason":7,"t":"now"}',
        b'{"features":[],"instance":7,"requestId":"r","n":"x","reason":[],"t":-1}',
        b'{"features":[],"now":1e99,"requestId":"r","n":"x","reason":{},"t":true}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_such_message_is_refused(kind, body):
    with pytest.raises(RemoteProtocolError):
        kind.decode(body)


@pytest.mark.parametrize("body", [b"{}", b"\xff", b"[]", b'{"v":1,"strategy":"nobody"}'])
def test_what_is_no_record_is_no_report(body):
    with pytest.raises(RemoteProtocolError):
        decode_report(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(body):
    for kind in (Hello, Probe, Accepted, Beat, Cancel):
        try:
            kind.decode(body)
        except RemoteProtocolError:
            continue
