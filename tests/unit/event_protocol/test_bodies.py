from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.bodies import (
    ENVIRONMENT_NOT_SENT,
    InitBody,
    decode_init,
    decode_next,
    encode_init,
    encode_next,
)
from event_protocol.errors import LocalProtocolError, RemoteProtocolError

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,15}", fullmatch=True)


def test_an_init_is_written_letter_by_letter_as_the_bridge_writes_it():
    assert encode_init("fn", {"A": "1", "B": "x=y"}) == (
        b'{"functionID":"fn","environment":["A=1","B=x=y"]}\n'
    )


def test_our_features_are_one_more_member_that_go_ignores():
    body = encode_init("fn", {}, ["hello", "probe"])
    assert json.loads(body)["shim"] == {"v": 1, "features": ["hello", "probe"]}
    assert decode_init(body).features == ("hello", "probe")


@given(texts, st.dictionaries(names, texts, max_size=4), st.lists(texts, max_size=3))
def test_every_init_survives_the_way_there_and_back(function_id, environment, features):
    assert decode_init(encode_init(function_id, environment, features)) == InitBody(
        function_id, environment, tuple(features)
    )


def test_a_variable_that_is_not_text_can_still_be_sent():
    assert decode_init(encode_init("fn", {"A": "\udcff"})).environment["A"] == "\udcff"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"nonsense", b"[]", b"null", b"{}", b'{"functionID":1,"environment":[]}',
        b'{"functionID":"f"}', b'{"functionID":"f","environment":{"A":"1"},"shim":[1]}',
        b'{"functionID":"f","environment":[1]}', b'{"functionID":"f","environment":[],"shim":7}',
        b'{"functionID":"f","environment":[],"shim":{"features":[1]}}', b"\xff\xfe\xff",
        b'{"functionID":"f","environment":7}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_not_an_init_is_refused_without_being_repeated(body):
    with pytest.raises(RemoteProtocolError, match=r"^the message is not an INIT$") as caught:
        decode_init(body)
    assert caught.value.__suppress_context__


def test_an_entry_that_names_no_variable_is_skipped():
    body = b'{"functionID":"f","environment":["A","B=1","=C"]}'
    assert decode_init(body).environment == {"B": "1", "": "C"}


def test_an_init_does_not_show_its_environment():
    assert "secret" not in repr(decode_init(encode_init("f", {"AWS_SECRET_ACCESS_KEY": "secret"})))


def test_what_belongs_to_the_execution_environment_is_known():
    assert {"AWS_LAMBDA_RUNTIME_API", "_HANDLER", "PATH", "LAMBDA_TASK_ROOT"} < ENVIRONMENT_NOT_SENT
    assert len([name for name in ENVIRONMENT_NOT_SENT if name.startswith("_LAMBDA_")]) == 7
    assert not ENVIRONMENT_NOT_SENT & {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"}


HEADERS = {
    "Lambda-Runtime-Trace-Id": "Root=1",
    "Content-Type": "application/json",
    "Lambda-Runtime-Aws-Request-Id": "6b1c",
}


def test_a_next_is_an_http_response_with_its_length_first_and_then_its_headers_by_name():
    assert encode_next(HEADERS, b"{}") == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Length: 2\r\n"
        b"Content-Type: application/json\r\n"
        b"Lambda-Runtime-Aws-Request-Id: 6b1c\r\n"
        b"Lambda-Runtime-Trace-Id: Root=1\r\n"
        b"\r\n"
        b"{}"
    )


header_names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower() not in {"content-length", "transfer-encoding"}
)
header_values = texts.map(lambda text: "".join(c for c in text if c not in "\x00\r\n").strip(" \t"))


@given(st.dictionaries(header_names, header_values, max_size=4), st.binary(max_size=100))
def test_every_next_survives_the_way_there_and_back(headers, body):
    headers = {name.lower(): value for name, value in headers.items()}
    event = decode_next(encode_next(headers, body))
    assert event.body == body
    assert event.headers == headers | {"content-length": str(len(body))}


def test_headers_about_the_transfer_are_replaced():
    raw = encode_next({"content-length": "999", "Transfer-Encoding": "chunked"}, b"x")
    assert raw == b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    "headers",
    [{"a": "x\r\nb: y"}, {"a": "x\n"}, {"a\r\nb": "x"}, {"a b": "x"}, {"": "x"}, {"a:": "x"},
     {"a": "\x00"}, {"a": "\ud800"}],
)  # fmt: skip
def test_a_header_that_would_break_the_head_is_not_written(headers):
    with pytest.raises(LocalProtocolError):
        encode_next(headers, b"")


def test_bytes_of_a_header_that_are_not_utf_8_survive():
    raw = b"HTTP/1.1 200 OK\r\nA: \xff\r\nContent-Length: 0\r\n\r\n"
    assert encode_next({"A": decode_next(raw).headers["a"]}, b"") == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \xff\r\n\r\n"
    )


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (CHUNKED + b"0\r\n\r\n", b""),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", b"{}"),
        (CHUNKED + b"a;x=y\r\n0123456789\r\n1 \r\n!\r\n0\r\nT: x\r\n\r\n", b"0123456789!"),
        (CHUNKED + b"0A\r\n01234\r\n789\r\n0\r\n\r\n", b"01234\r\n789"),
        (CHUNKED + b"1\r\n1\r\n0\r\n", b"1"),
        (CHUNKED.replace(b"chunked", b"Chunked") + b"1\r\n1\r\n0\r\n\r\n", b"1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n12", b"1"),
        (b"HTTP/1.1 200\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 202 Accepted\r\ncontent-length:2\r\n\r\n\r\n", b"\r\n"),
    ],
)
def test_a_body_is_read_with_a_length_in_chunks_or_to_its_end(raw, body):
    assert decode_next(raw).body == body


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_every_chunked_body_is_joined(chunks):
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    assert decode_next(CHUNKED + framed + b"0\r\n\r\n").body == b"".join(chunks)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"nonsense", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 500 No\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nnot a header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nA B: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: ٣\r\n\r\n123".encode(),
        CHUNKED, CHUNKED + b"2\r\n{}\r\n", CHUNKED + b"5\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}XX0\r\n\r\n", CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", CHUNKED + b"-1\r\n",
        CHUNKED + b"f" * 16 + b"\r\n", CHUNKED + b"fffffffffffffff\r\n", CHUNKED + b"\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_not_a_whole_response_is_refused(raw):
    with pytest.raises(RemoteProtocolError):
        decode_next(raw)


def test_an_error_never_repeats_the_event():
    with pytest.raises(RemoteProtocolError) as caught:
        decode_next(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsecret")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(decode_next(encode_next({"a": "secret"}, b"secret")))
