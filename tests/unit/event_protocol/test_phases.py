from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.phases import (
    MARK,
    InvocationRecord,
    Outcome,
    Phase,
    Span,
    Strategy,
    decode_record,
    encode_record,
)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
seconds = st.floats(0, 1e9)
spans = st.builds(
    Span,
    st.sampled_from(Phase),
    seconds,
    seconds,
    st.sampled_from(Outcome),
    texts,
    seconds,
    st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3),
)
records = st.builds(
    InvocationRecord,
    texts,
    texts,
    st.booleans(),
    st.sampled_from(Strategy),
    seconds,
    seconds,
    st.lists(spans, max_size=4).map(tuple),
    texts,
)

REFUSED = Span(Phase.CONNECT, 1.0, 1.5, Outcome.REFUSED, "connect.tcp", 3.0, {"errno": 111})
RECORD = InvocationRecord(
    "r-1", "w" * 32, True, Strategy.DEPLOYED, 0.5, 2.0,
    (Span(Phase.RESOLVE, 0.5, 1.0), REFUSED), "the channel refused",
)  # fmt: skip


@given(records)
def test_every_record_survives_the_way_through_a_log(record):
    line = encode_record(record)
    assert decode_record(line) == record
    assert len(line.splitlines()) == 1 or "\n" not in line


def test_a_record_is_marked_so_that_it_is_found_among_other_lines():
    line = encode_record(RECORD)
    assert line.startswith(MARK)
    assert json.loads(line.removeprefix(MARK))["v"] == 1


@pytest.mark.parametrize("line", ["", "START RequestId: 1", MARK.strip(), " " + MARK + "{}"])
def test_another_line_is_not_a_record(line):
    assert decode_record(line) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", "{}", '{"request_id":"r"}',
        encode_record(RECORD)[len(MARK):].replace('"connect"', '"teleport"'),
        encode_record(RECORD)[len(MARK):].replace('"refused"', '"bored"'),
        encode_record(RECORD)[len(MARK):].replace('"deployed"', '"magic"'),
        encode_record(RECORD)[len(MARK):].replace('{"errno":111}', "7"),
        encode_record(RECORD)[len(MARK):].replace("0.5", '"soon"'),
        encode_record(RECORD)[len(MARK):].replace("0.5", "1e999"),
        encode_record(RECORD)[len(MARK):].replace("0.5", "-Infinity"),
        encode_record(RECORD)[len(MARK):].replace("0.5", "NaN"),
    ],
)  # fmt: skip
def test_a_marked_line_that_is_not_a_record_is_an_error(text):
    with pytest.raises(ValueError, match="not an invocation record"):
        decode_record(MARK + text)


def test_a_span_knows_how_long_it_took():
    assert REFUSED.duration == 0.5


def test_phases_are_in_the_order_of_a_cold_call():
    assert [phase.value for phase in Phase] == (
        [
            "resolve",
            "connect",
            "tls",
            "upgrade",
            "init",
            "subscribe",
            "probe",
            "publish",
            "deliver",
            "handle",
            "reply",
        ]
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_line_with_a_number_that_json_does_not_have_is_no_record(number):
    line = encode_record(
        InvocationRecord("r", "w", False, Strategy.WORKER, started=1.0, finished=2.5, spans=())
    )
    assert decode_record(line) is not None
    with pytest.raises(ValueError, match="not an invocation record"):
        decode_record(line.replace("2.5", number))


@pytest.mark.parametrize("value", ["9" * 400, "[" * 100_000 + "]" * 100_000])
def test_a_line_that_is_too_much_for_a_parser_is_no_record(value):
    line = encode_record(
        InvocationRecord("r", "w", False, Strategy.WORKER, started=1.0, finished=2.5, spans=())
    )
    with pytest.raises(ValueError, match="not an invocation record"):
        decode_record(line.replace("2.5", value))
