"""A response that is handed over while the function still writes it, no faster than Lambda does.

AWS Lambda developer guide, "Response streaming for Lambda functions": up to 200 MB (20 MB until
July 2025), the first 6 MB as fast as they come, then 2 MB/s. The open core of Lambda fills its
bucket every 125 ms (aws-lambda-runtime-interface-emulator, ``core/directinvoke/util.go``).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from natless.lambda_host.clock import Clock, wait_first
from natless.lambda_host.runtime_session import Answer, AnswerKind, parse_error_type

ERROR_TYPE = "lambda-runtime-function-error-type"
ERROR_BODY = "lambda-runtime-function-error-body"
MODE = "lambda-runtime-function-response-mode"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much of a stream may pass, and how fast.

    Attributes:
        total_bytes: more end the stream.
        burst_bytes: so many pass at once.
        rate_bytes: a second, after that.
        refill: seconds between two refills of the bucket.
    """

    total_bytes: int = 200 * 1024 * 1024
    burst_bytes: int = 6 * 1024 * 1024
    rate_bytes: int = 2 * 1024 * 1024
    refill: float = 0.125


class ResponseSink(Protocol):
    """Who takes a streamed response."""

    async def begin(self, headers: Mapping[str, str]) -> None:
        """A stream begins; the headers of the runtime's post, names in lower case."""

    async def write(self, piece: bytes) -> None:
        """Takes the next bytes; returns when more may come. A reader who has gone raises nothing.

        The function goes on when its caller is gone, as on AWS.
        """


class TokenBucket:
    """Says when bytes may pass; knows no clock."""

    def __init__(self, limits: StreamLimits, *, now: float) -> None:
        self._limits = limits
        self._tokens = limits.burst_bytes
        self._filled = now

    def take(self, wanted: int, *, now: float) -> tuple[int, float]:
        """How many of ``wanted`` bytes may pass, and when to ask for the rest."""
        limits = self._limits
        refills = int((now - self._filled) / limits.refill + 1e-9)
        if refills > 0:
            self._filled += refills * limits.refill
            self._tokens += refills * int(limits.rate_bytes * limits.refill)
            self._tokens = min(self._tokens, limits.burst_bytes)
        taken = min(wanted, self._tokens)
        self._tokens -= taken
        return taken, self._filled + limits.refill


class PacedSink:
    """Hands pieces on at the pace of a bucket, until it is closed.

    Attributes:
        streamed_bytes: how many were handed on; None until a stream began.
    """

    def __init__(self, sink: ResponseSink, *, clock: Clock, limits: StreamLimits) -> None:
        self.streamed_bytes: int | None = None
        self._sink = sink
        self._clock = clock
        self._bucket = TokenBucket(limits, now=clock.now())
        self._is_closed = False

    async def begin(self, headers: Mapping[str, str]) -> None:
        """Passes it on."""
        if not self._is_closed:
            self.streamed_bytes = 0
            await self._sink.begin(headers)

    def close(self) -> None:
        """The caller has been told the end; what still comes is dropped."""
        self._is_closed = True

    async def write(self, piece: bytes) -> None:
        """Passes the piece on, in parts if the bucket is empty in between."""
        while piece and not self._is_closed:
            count, later = self._bucket.take(len(piece), now=self._clock.now())
            if count:
                await self._sink.write(piece[:count])
                self.streamed_bytes = (self.streamed_bytes or 0) + count
                piece = piece[count:]
            else:
                await wait_first(self._clock, later)


def end_of_stream(
    body: bytes,
    *,
    headers: Mapping[str, str],
    trailers: Mapping[str, str],
    streamed_bytes: int | None,
) -> Answer:
    """What a stream comes to: a response, or the error that the runtime put behind it.

    Args:
        body: what a sink has not been given.
        headers: of the post.
        trailers: of the post.
        streamed_bytes: what a sink was given, None if there is no sink.
    """
    said = trailers.get(ERROR_TYPE, "")
    if not said and ERROR_BODY not in trailers:
        return Answer(AnswerKind.RESPONSE, body, headers=headers, streamed_bytes=streamed_bytes)
    return Answer(
        AnswerKind.ERROR,
        _read_error(trailers.get(ERROR_BODY, "")),
        error_type=parse_error_type(said),
        headers=headers,
        streamed_bytes=streamed_bytes,
    )


def _read_error(text: str) -> bytes:
    """The error's JSON, which travels as base64 since a trailer is one line."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return json.dumps({"errorMessage": text}).encode()
