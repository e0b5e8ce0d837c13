import json

import pytest

from natless.vpc.endpoint import NotHttp, parse_head, render_refusal
from natless.vpc.model import Endpoint


def test_an_upgrade_is_read_like_any_request():
    head = b"GET /event/realtime?x=1 HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n"
    request = parse_head(head)
    assert (request.method, request.target, request.host) == (
        "GET",
        "/event/realtime?x=1",
        "a.example",
    )
    assert (request.body_bytes, request.is_chunked) == (0, False)


def test_the_length_of_a_body_is_read():
    assert parse_head(b"POST /event HTTP/1.1\r\nCONTENT-LENGTH: 17\r\n\r\n").body_bytes == 17
    assert parse_head(b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n").is_chunked


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_as_such(head):
    with pytest.raises(NotHttp):
        parse_head(head)


def test_the_refusal_has_the_shape_of_appsync():
    head, _, body = render_refusal(Endpoint(), request_id="1-2").partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "HTTP/1.1 403 Forbidden"
    assert f"Content-Length: {len(body)}" in headers
    assert "x-amzn-ErrorType: ForbiddenException" in headers
    assert "x-amzn-RequestId: 1-2" in headers
    assert json.loads(body) == {
        "errors": [{"errorType": "ForbiddenException", "message": "Forbidden"}]
    }


def test_a_topology_can_choose_another_refusal():
    refusal = render_refusal(Endpoint(status=404, error_type="NotFoundException"), request_id="1")
    assert refusal.startswith(b"HTTP/1.1 404 Not Found\r\n")
