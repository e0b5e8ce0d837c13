from __future__ import annotations

import pytest

from relay import express
from relay.express import Head, read_head

PLAIN = b"POST /event HTTP/1.1\r\nHost: h:1\r\nX-Api-Key:  k \r\nContent-Length: 12\r\n\r\n"


def head(*lines: bytes, first: bytes = b"POST /event HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: h", b"x-api-key: k", *lines, b"", b""])


def test_a_plain_publish_is_known_by_its_length_host_and_key():
    assert read_head(PLAIN) == Head(12, True, "h:1", "k")
    assert read_head(PLAIN) is read_head(bytes(PLAIN))


@pytest.mark.parametrize(
    "line", [b"Connection: Keep-Alive", b"Content-Encoding: amz-1.0", b"Accept: */*", b"X-Odd:"]
)
def test_what_clients_say_besides_changes_nothing(line):
    found = read_head(head(b"Content-Length: 5", line))
    assert found == Head(5, True, "h", "k")


@pytest.mark.parametrize(
    "said",
    [
        head(first=b"GET /event HTTP/1.1"),
        head(first=b"POST /event HTTP/1.1"),  # no length: an empty body
        head(b"Content-Length: 5", first=b"POST /event?x HTTP/1.1"),
        head(b"Content-Length: 5", first=b"POST /graphql HTTP/1.1"),
        b"POST /event HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
        b"POST /event HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nx-api-key: \r\n\r\n",
    ],
)
def test_of_any_other_request_only_the_length_is_known(said):
    found = read_head(said)
    assert found is not None
    assert not found.is_publish
    assert found.length == (5 if b"Content-Length" in said else 0)


@pytest.mark.parametrize(
    "said",
    [
        head(b"Content-Length: 5", first=b"POST /event HTTP/1.0"),
        head(b"Content-Length: 5", first=b"POST  /event HTTP/1.1"),
        head(b"Content-Length: 5", first=b"post /event HTTP/1.1"),
        head(b"Content-Length: 5", b"Content-Length: 5"),
        head(b"Content-Length: 5", b"content-length: 6"),
        head(b"Content-Length: 5", b"Host: other"),
        head(b"Content-Length: 5", b"X-API-KEY: other"),
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        head(b"Content-Length: 5", b"Transfer-Encoding : chunked"),
        head(b"Content-Length: 5", b" folded"),
        head(b"Content-Length: 5", b"X: a\nTransfer-Encoding: chunked"),
        head(b"Content-Length: 5", b"X: a\rb"),
        head(b"Content-Length: 5", b"X: \0"),
        head(b"Content-Length: 5", b"X: \xfc"),
        head(b"Content-Length: 5", b"no colon"),
        head(b"Content-Length: 5", b"Expect: 100-continue"),
        head(b"Content-Length: 5", b"Connection: close"),
        head(b"Content-Length: 5", b"Connection: keep-alive", b"Connection: upgrade"),
        head(b"Content-Length: 5", b"Upgrade: websocket"),
        head(b"Content-Length: +5"),
        head(b"Content-Length: 5x"),
        head(b"Content-Length: -1"),
        head(b"Content-Length: 99999999999999999999"),
        head(b"Content-Length:"),
        b"\r\n" + head(b"Content-Length: 5"),
        b"",
    ],
)
def test_what_is_odd_is_left_to_others(said):
    assert read_head(said) is None


def test_heads_that_change_every_time_fill_no_memory():
    for number in range(2 * express.HEADS_COUNT):
        assert read_head(head(b"Content-Length: 1", b"X-Trace: %d" % number)) is not None
        assert len(express._known) <= express.HEADS_COUNT
