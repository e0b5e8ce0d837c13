"""How AppSync's HTTP front end answers: headers, error bodies, CORS.

Sources: a capture of the CORS headers of AppSync's gateway (DevelopersIO, 2022-05), the headers in
aws-amplify/amplify-js#5518, error bodies in anomalyco/sst#5855 and in Android's test fixtures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from relay.express import Express

JSON_TYPE = "application/json;charset=UTF-8"
EXPOSED = (
    "x-amzn-RequestId,x-amzn-ErrorType,x-amz-user-agent,x-amzn-ErrorMessage,Date,"
    "x-amz-schema-version"
)
PREFLIGHT_AGE = 172_800  # seconds
UNSENT_BYTES = 1 << 16  # of answers that a client has not read, before it is waited for

_UNKNOWN_OPERATION = (
    b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}'
)


class Reply(web.StreamResponse):
    """A whole answer, written as one piece.

    It goes around aiohttp's own preparation of headers, which takes longer than a publish.

    Args:
        body: may be empty.
        request_id: told in ``x-amzn-RequestId``.
        status: of HTTP.
        headers: more than those that every reply has; safe text, never what a client sent.
    """

    def __init__(
        self,
        body: bytes,
        *,
        request_id: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status=status)
        self.body = body
        self.more_headers = headers or {}
        self.request_id = request_id
        self._keeps_alive: bool | None = None
        self._request: web.BaseRequest | None = None

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open after this."""
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Remembers what is answered; :meth:`write_eof` writes."""
        self._request = request
        self._keeps_alive = request.keep_alive
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Writes everything, the first time."""
        request, self._request = self._request, None
        if request is None:
            return
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        head = _encode_head(self.status, len(self.body), self.request_id, self.more_headers)
        if not self._keeps_alive:
            head += "Connection: close\r\n"
        elif request.version < (1, 1):
            head += "Connection: keep-alive\r\n"
        end = b"\r\n" if request.method == "HEAD" else b"\r\n" + self.body
        transport.write(head.encode("latin-1") + end)
        if transport.get_write_buffer_size() > UNSENT_BYTES:
            await request.writer.drain()
        if isinstance(protocol := request.protocol, Express):
            protocol.answered(keeps_alive=bool(self._keeps_alive))


def encode_reply(body: bytes, *, request_id: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of an answer with status 200 on a connection that stays open."""
    head = _encode_head(HTTPStatus.OK, len(body), request_id, headers)
    return f"{head}\r\n".encode("latin-1") + body


def refuse(error_type: str, message: str | None, *, request_id: str, status: int) -> Reply:
    """An error reply: ``{"errors":[{"errorType":…,"message":…}]}``.

    Without a message it is printed the way Jackson pretty-prints, which is how AWS's 401 looks.
    """
    if message is None:
        text = f'{{\n  "errors" : [ {{\n    "errorType" : "{error_type}"\n  }} ]\n}}'
    else:
        text = _dump({"errors": [{"errorType": error_type, "message": message}]})
    return Reply(
        text.encode(),
        request_id=request_id,
        status=status,
        headers={"x-amzn-ErrorType": error_type},
    )


def answer_preflight(request: web.BaseRequest, *, request_id: str) -> Reply:
    """The reply to ``OPTIONS``: everything that was asked for is allowed, no credentials needed."""
    wanted = request.headers.get("Access-Control-Request-Headers", "*")
    return Reply(
        b"",
        request_id=request_id,
        headers={
            "Access-Control-Allow-Methods": "POST,OPTIONS",
            "Access-Control-Allow-Headers": wanted if _is_header_text(wanted) else "*",
            "Access-Control-Max-Age": str(PREFLIGHT_AGE),
        },
    )


def answer_unknown(*, request_id: str) -> Reply:
    """The reply to a path that nobody serves."""
    return Reply(
        _UNKNOWN_OPERATION,
        request_id=request_id,
        status=404,
        headers={"x-amzn-ErrorType": "UnknownOperationException"},
    )


def _encode_head(status: int, length: int, request_id: str, headers: Mapping[str, str]) -> str:
    """Status line and headers, without the empty line behind them."""
    head = (
        f"{_status_line(status)}"
        f"x-amzn-RequestId: {request_id}\r\nContent-Length: {length}\r\nDate: {_now()}\r\n"
    )
    for name, value in headers.items():
        head += f"{name}: {value}\r\n"
    return head


def _status_line(status: int) -> str:
    """Status and the headers that never change, made once."""
    line = _status_lines.get(status)
    if line is None:
        line = _status_lines[status] = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"Content-Type: {JSON_TYPE}\r\n"
            "Access-Control-Allow-Origin: *\r\n"
            f"Access-Control-Expose-Headers: {EXPOSED}\r\n"
        )
    return line


_status_lines: dict[int, str] = {}


class _Date:
    """The value of ``Date``, made once a second."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        second = int(self._wall())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True)
        return self._text


_now = _Date(time.time)


def _is_header_text(text: str) -> bool:
    return text.isascii() and text.isprintable()


_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
