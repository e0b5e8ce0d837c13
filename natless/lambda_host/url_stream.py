"""A function's streamed answer as the HTTP response of its URL.

Either the stream is the body, or it begins with a prelude that says status, headers and cookies
(AWS Lambda developer guide, "Writing response streaming-enabled Lambda functions").
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from aiohttp import web

from natless.lambda_host.http_event import (
    SEPARATOR,
    STREAM_TYPE,
    HttpAnswer,
    MalformedAnswer,
    decode_prelude,
)

_MAX_PRELUDE_BYTES = 1024 * 1024


class UrlStream:
    """Takes a response as it comes and sends it on.

    Attributes:
        response: what is being sent; None until its head is known.
        problem: why nothing could be sent; empty when all is well.
    """

    def __init__(self, request: web.Request, request_id: str) -> None:
        self.response: web.StreamResponse | None = None
        self.problem = ""
        self._request = request
        self._request_id = request_id
        self._prelude: bytearray | None = None

    async def begin(self, headers: Mapping[str, str]) -> None:
        """The function's stream begins."""
        kind = headers.get("content-type", "application/octet-stream")
        if kind.partition(";")[0].strip().lower() == STREAM_TYPE:
            self._prelude = bytearray()
            self.problem = "the stream ended before the eight zero bytes behind its prelude"
        else:
            await self._open(HttpAnswer(200, (("content-type", kind),), b""))

    async def write(self, piece: bytes) -> None:
        """Sends the next bytes, behind the prelude if there is one."""
        if self._prelude is not None:
            self._prelude += piece
            prelude, separator, piece = bytes(self._prelude).partition(SEPARATOR)
            if not separator and len(prelude) <= _MAX_PRELUDE_BYTES:
                return
            self._prelude = None
            try:
                head = decode_prelude(prelude)
            except MalformedAnswer as malformed:
                self.problem = str(malformed)
                return
            self.problem = ""
            await self._open(head)
        if self.response is not None and piece:
            with contextlib.suppress(OSError):  # who has gone hears nothing; the function goes on
                await self.response.write(piece)

    def end(self, *, is_broken: bool) -> web.StreamResponse:
        """What was sent; a broken stream ends with the connection, so that its reader knows."""
        assert self.response is not None
        if is_broken and self._request.transport is not None:
            self._request.transport.abort()
        return self.response

    async def _open(self, head: HttpAnswer) -> None:
        self.response = web.StreamResponse(status=head.status)
        for name, value in (*head.headers, ("x-amzn-RequestId", self._request_id)):
            self.response.headers.add(name, value)
        with contextlib.suppress(OSError):
            await self.response.prepare(self._request)
