"""The event that a request becomes, and the response that an answer means."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natless.lambda_host.http_event import (
    HttpRequest,
    MalformedAnswer,
    decode_answer,
    decode_collected,
    decode_prelude,
    encode_event,
)


def event_of(**parts):
    request = HttpRequest(
        **{
            "method": "GET",
            "path": "/",
            "query": "",
            "headers": [("Host", "127.0.0.1:9401"), ("User-Agent", "curl/8")],
            "body": b"",
            "source": "127.0.0.1",
        }
        | parts
    )
    return json.loads(encode_event(request, name="orders", request_id="r-1", wall=1_800_000_000.5))


def test_a_plain_request_has_every_member_that_aws_sends_and_no_other():
    assert event_of() == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"host": "127.0.0.1:9401", "user-agent": "curl/8"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "orders",
            "domainName": "127.0.0.1",
            "domainPrefix": "orders",
            "http": {
                "method": "GET",
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "curl/8",
            },
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "15/Jan/2027:08:00:00 +0000",
            "timeEpoch": 1_800_000_000_500,
        },
        "isBase64Encoded": False,
    }


def test_repeated_parameters_and_headers_are_joined_by_commas():
    event = event_of(
        query="tag=a&tag=b%2Cc&empty=&Tag=d", headers=[("X-A", "1"), ("x-a", "2"), ("Host", "h")]
    )
    assert event["rawQueryString"] == "tag=a&tag=b%2Cc&empty=&Tag=d"
    assert event["queryStringParameters"] == {"tag": "a,b,c", "empty": "", "Tag": "d"}
    assert event["headers"]["x-a"] == "1,2"
    assert event["requestContext"]["domainName"] == "h"


def test_cookies_are_a_list_and_no_header():
    event = event_of(headers=[("Cookie", "a=1; b=2"), ("cookie", "c=3")])
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert "cookie" not in event["headers"]


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON; charset=utf-8", "text/csv", "application/xml"],
)
def test_text_is_handed_over_as_text(kind):
    event = event_of(headers=[("Content-Type", kind)], body="grüße".encode())
    assert (event["body"], event["isBase64Encoded"]) == ("grüße", False)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("image/png", b"\x89PNG"),
        ("application/x-www-form-urlencoded", b"a=1"),
        ("", b"{}"),
        ("application/json", b"\xff\xfe"),
    ],
)
def test_everything_else_is_base64(kind, body):
    event = event_of(headers=[("Content-Type", kind)], body=body)
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == body


@pytest.mark.parametrize(
    "payload", [b'"Hello, world!"', b'{"message": "hi"}', b"[1, 2]", b"null", b"3"]
)
def test_what_has_no_status_is_the_body_itself(payload):
    answer = decode_answer(payload)
    assert (answer.status, answer.body) == (200, payload)
    assert answer.headers == (("content-type", "application/json"),)


def test_an_answer_with_a_status_is_a_response():
    answer = decode_answer(
        json.dumps(
            {
                "statusCode": 201,
                "headers": {"Content-Type": "text/plain", "x-count": 3, "x-on": True},
                "cookies": ["a=1; Path=/", "b=2"],
                "body": "made",
            }
        ).encode()
    )
    assert (answer.status, answer.body) == (201, b"made")
    assert answer.headers == (
        ("Content-Type", "text/plain"),
        ("x-count", "3"),
        ("x-on", "true"),
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2"),
    )


def test_a_response_without_type_and_body_is_empty_json():
    answer = decode_answer(b'{"statusCode": "204"}')
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers == (("content-type", "application/json"),)


def test_base64_comes_out_as_bytes():
    said = {
        "statusCode": 200,
        "isBase64Encoded": True,
        "body": base64.b64encode(b"\0\xff").decode(),
    }
    assert decode_answer(json.dumps(said).encode()).body == b"\0\xff"


def test_what_belongs_to_the_connection_is_not_passed_on():
    said = {"statusCode": 200, "headers": {"Content-Length": "9", "Connection": "x", "Etag": "1"}}
    names = [name for name, _ in decode_answer(json.dumps(said).encode()).headers]
    assert names == ["Etag", "content-type"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"statusCode": "ok"}, "statusCode is"),
        ({"statusCode": True}, "statusCode is"),
        ({"statusCode": 99}, "statusCode is 99"),
        ({"statusCode": 101}, "statusCode is 101"),
        ({"statusCode": None}, "statusCode is null"),
        ({"statusCode": 200, "body": {"a": 1}}, "encode it as JSON yourself"),
        ({"statusCode": 200, "headers": [1]}, "headers is"),
        ({"statusCode": 200, "headers": {"a": ["b"]}}, "the header 'a'"),
        ({"statusCode": 200, "headers": {"a": "b\r\nevil: 1"}}, "no header may have"),
        ({"statusCode": 200, "headers": {"a b": "c"}}, "no header may have"),
        ({"statusCode": 200, "cookies": "a=1"}, "cookies is"),
        ({"statusCode": 200, "cookies": ["a\nb"]}, "a cookie has"),
        ({"statusCode": 200, "isBase64Encoded": True, "body": "!"}, "no base64"),
    ],
)
def test_an_impossible_response_is_named(said, words):
    with pytest.raises(MalformedAnswer, match=words):
        decode_answer(json.dumps(said).encode())


def test_what_is_not_json_is_named():
    with pytest.raises(MalformedAnswer, match="not JSON"):
        decode_answer(b"oops")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"statusCode": JSON | st.integers(0, 700)},
        optional={"headers": JSON, "cookies": JSON, "body": JSON, "isBase64Encoded": JSON},
    )
)
def test_every_answer_is_a_response_or_is_refused(said):
    try:
        answer = decode_answer(json.dumps(said).encode())
    except MalformedAnswer:
        return
    assert 200 <= answer.status <= 599
    for name, value in answer.headers:
        assert name
        assert not {"\r", "\n", "\0"} & {*name, *value}


@given(st.binary(max_size=50), st.text(max_size=40), st.lists(st.tuples(st.text(), st.text())))
def test_every_request_becomes_an_event_that_brings_its_body_back(body, query, headers):
    try:
        query.encode()
    except UnicodeEncodeError:
        return
    event = event_of(body=body, query=query, headers=headers)
    said = event.get("body", "")
    assert (base64.b64decode(said) if event["isBase64Encoded"] else said.encode()) == body


def test_a_stream_at_a_url_that_does_not_stream_says_what_to_set():
    with pytest.raises(MalformedAnswer, match="RESPONSE_STREAM"):
        decode_answer(b'{"statusCode":200}' + b"\0" * 8 + b"body")


def test_a_prelude_is_a_head_whose_body_follows():
    answer = decode_prelude(b'{"statusCode":302,"headers":{"Location":"/x"},"cookies":["a=1"]}')
    assert (answer.status, answer.body) == (302, b"")
    assert answer.headers == (
        ("Location", "/x"),
        ("content-type", "application/octet-stream"),
        ("set-cookie", "a=1"),
    )
    assert decode_prelude(b"{}").status == 200


@pytest.mark.parametrize("prelude", [b"", b"[]", b'{"statusCode":"x"}', b'{"headers":1}'])
def test_a_prelude_that_is_none_is_named(prelude):
    with pytest.raises(MalformedAnswer):
        decode_prelude(prelude)


def test_a_stream_that_was_collected_is_taken_apart_at_its_zero_bytes():
    answer = decode_collected(b'{"statusCode":201}' + b"\0" * 8 + b"body\0" * 9)
    assert (answer.status, answer.body) == (201, b"body\0" * 9)
    assert decode_collected(b'{"statusCode":204}').status == 204
    assert decode_collected(b"7").body == b"7"
