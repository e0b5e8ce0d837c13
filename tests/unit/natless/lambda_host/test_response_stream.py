"""Streams by a hand-moved clock: how fast, how much, and how they end."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from natless.lambda_host.clock import HandClock
from natless.lambda_host.response_stream import (
    PacedSink,
    StreamLimits,
    TokenBucket,
    end_of_stream,
)

MIB = 1024 * 1024


class Taker:
    def __init__(self) -> None:
        self.begun: dict[str, str] | None = None
        self.taken = bytearray()

    async def begin(self, headers) -> None:
        self.begun = dict(headers)

    async def write(self, piece: bytes) -> None:
        self.taken += piece


def test_six_megabytes_pass_at_once_and_then_two_a_second():
    bucket = TokenBucket(StreamLimits(), now=100.0)
    taken, later = bucket.take(7 * MIB, now=100.0)
    assert (taken, later) == (6 * MIB, 100.125)
    assert bucket.take(MIB, now=100.1)[0] == 0
    assert bucket.take(MIB, now=100.125)[0] == MIB // 4
    assert bucket.take(9 * MIB, now=101.125)[0] == 2 * MIB


def test_a_bucket_holds_no_more_than_its_burst():
    bucket = TokenBucket(StreamLimits(), now=0.0)
    bucket.take(6 * MIB, now=0.0)
    assert bucket.take(99 * MIB, now=3600.0)[0] == 6 * MIB


async def test_a_paced_sink_hands_on_what_may_pass_and_keeps_the_rest_until_then():
    clock, taker = HandClock(), Taker()
    limits = StreamLimits(burst_bytes=4, rate_bytes=16, refill=0.125)
    sink = PacedSink(taker, clock=clock, limits=limits)
    assert sink.streamed_bytes is None
    await sink.begin({"content-type": "text/plain"})
    writing = asyncio.create_task(sink.write(b"abcdefgh"))
    for expected in (b"abcd", b"abcdef"):
        await clock.pending()
        assert bytes(taker.taken) == expected
        clock.advance(0.125)
    await writing
    assert (taker.begun, bytes(taker.taken)) == ({"content-type": "text/plain"}, b"abcdefgh")
    assert sink.streamed_bytes == 8


async def test_what_comes_after_the_caller_was_told_the_end_is_dropped():
    taker = Taker()
    sink = PacedSink(taker, clock=HandClock(), limits=StreamLimits())
    await sink.begin({})
    sink.close()
    await sink.write(b"late")
    assert bytes(taker.taken) == b""


def end(trailers: dict[str, str], *, sent: int | None = 5):
    return end_of_stream(b"", headers={"a": "b"}, trailers=trailers, streamed_bytes=sent)


def test_a_stream_without_a_word_behind_it_is_a_response():
    answer = end({})
    assert (answer.is_error, answer.body, answer.streamed_bytes) == (False, b"", 5)


def test_an_error_behind_a_stream_is_the_answer():
    said = json.dumps({"errorType": "Boom", "errorMessage": "in the middle"}).encode()
    answer = end(
        {
            "lambda-runtime-function-error-type": "Function.Boom",
            "lambda-runtime-function-error-body": base64.b64encode(said).decode(),
        }
    )
    assert (answer.is_error, answer.error_type, answer.body) == (True, "Function.Boom", said)
    assert answer.streamed_bytes == 5


@pytest.mark.parametrize("text", ["no base64!", "ä"])
def test_an_error_that_is_not_base64_is_handed_on_as_a_text(text):
    answer = end({"lambda-runtime-function-error-body": text})
    assert json.loads(answer.body) == {"errorMessage": text}
    assert answer.error_type == "Runtime.Unknown"
