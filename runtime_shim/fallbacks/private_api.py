"""A small Runtime API on loopback for the code that is in the container.

One client, one invocation at a time. Its rules are those of Lambda's own (AWS Lambda developer
guide, "Using the Lambda runtime API"; states as in the open runtime interface emulator): a repeated
request for an event gets the same event again, an answer with another id is refused with 400, a
second answer with 403.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress

from runtime_shim.http_messages import (
    HEAD_BYTES,
    HttpMessage,
    MalformedMessage,
    encode_message,
    read_body,
    read_head,
)
from runtime_shim.runtime_api import ROOT, Answer, Invocation

_ANSWER = re.compile(rf"POST .*{ROOT}/invocation/([^/ ]+)/(response|error) HTTP/1\.\d")
_NEXT = re.compile(rf"GET .*{ROOT}/invocation/next HTTP/1\.\d")
_INIT_ERROR = re.compile(rf"POST .*{ROOT}/init/error HTTP/1\.\d")


class PrivateRuntimeApi:
    """Hands one invocation after another to the code in the container.

    Attributes:
        init_error: what the code posted instead of asking for its first event; None if nothing.
        is_ready: set once the code has asked for an event.
    """

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._offered: asyncio.Future[Invocation] | None = None
        self._answered: asyncio.Future[Answer] | None = None
        self._current: Invocation | None = None
        self.init_error: Answer | None = None
        self.is_ready = asyncio.Event()

    async def start(self) -> str:
        """Listens; ``host:port`` for ``AWS_LAMBDA_RUNTIME_API``."""
        self._offered = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def close(self) -> None:
        """Stops listening and drops the client."""
        if self._server is not None:
            self._server.close()
            for conversation in list(self._conversations):
                conversation.cancel()
            await asyncio.gather(*self._conversations)
            await self._server.wait_closed()

    def offer(self, invocation: Invocation) -> asyncio.Future[Answer]:
        """Hands an invocation out; what its code answers."""
        assert self._offered is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._current = invocation
        self._offered.set_result(invocation)
        return self._answered

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation is not None
        self._conversations.add(conversation)
        # A process that breaks off says more by its exit. Cancelled only by close(), and then done:
        # the streams of Python 3.11 complain about a conversation that ends as cancelled.
        with suppress(OSError, EOFError, MalformedMessage, asyncio.CancelledError):
            while await self._serve_once(reader, writer):
                pass
        self._conversations.discard(conversation)
        writer.close()  # sends what is left of the last reply

    async def _serve_once(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether another may follow."""
        head = await read_head(reader)
        if head.header("expect").lower() == "100-continue":  # curl, above 1 MB
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = await read_body(reader, head)
        writer.write(await self._reply(request))
        await writer.drain()
        return not request.wants_close

    async def _reply(self, request: HttpMessage) -> bytes:
        if _NEXT.fullmatch(request.start):
            return await self._next()
        if match := _ANSWER.fullmatch(request.start):
            return self._take_answer(match[1], request, is_error=match[2] == "error")
        if _INIT_ERROR.fullmatch(request.start):
            self.init_error = _read_answer(request, is_error=True)
            self.is_ready.set()
            return _status("202 Accepted", {"status": "OK"})
        return _status("404 Not Found", {"errorMessage": "Not found", "errorType": "NotFound"})

    async def _next(self) -> bytes:
        self.is_ready.set()
        assert self._offered is not None
        invocation = await asyncio.shield(self._offered)
        return encode_message("HTTP/1.1 200 OK", invocation.headers, invocation.body)

    def _take_answer(self, request_id: str, request: HttpMessage, *, is_error: bool) -> bytes:
        if self._current is None or request_id != self._current.request_id:
            text = {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
            return _status("400 Bad Request", text)
        if self._answered is None or self._answered.done():
            text = {"errorMessage": "Answered already", "errorType": "InvalidStateTransition"}
            return _status("403 Forbidden", text)
        self._offered = asyncio.get_running_loop().create_future()
        self._answered.set_result(_read_answer(request, is_error=is_error))
        return _status("202 Accepted", {"status": "OK"})


def _read_answer(request: HttpMessage, *, is_error: bool) -> Answer:
    """What was posted; a streamed answer that failed on its way says so behind its body."""
    name = "lambda-runtime-function-error-type"
    failed_type = request.trailers.get(name, "")
    return Answer(
        request.body,
        is_error=is_error or bool(failed_type),
        content_type=request.header("content-type") or "application/json",
        error_type=request.header(name) or failed_type,
    )


def _status(status: str, body: dict[str, str]) -> bytes:
    text = json.dumps(body).encode() + b"\n"
    return encode_message(f"HTTP/1.1 {status}", {"Content-Type": "application/json"}, text)
