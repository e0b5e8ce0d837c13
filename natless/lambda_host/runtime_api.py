"""The Runtime API of one execution environment, version 2018-06-01, over HTTP.

One listener for each environment, as the environment sees it: a runtime needs ``host:port`` in
``AWS_LAMBDA_RUNTIME_API``, and clients exist that cannot take a path prefix there. The order of
calls is judged by :class:`RuntimeSession`; here are sockets and HTTP. Extensions come to the same
address; :class:`ExtensionApi` answers them.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from types import TracebackType
from typing import Self

from natless.lambda_host.extension_api import ExtensionApi
from natless.lambda_host.http_wire import BodyBroken, HttpServer, Reply, Request
from natless.lambda_host.response_stream import MODE, ResponseSink, StreamLimits, end_of_stream
from natless.lambda_host.runtime_session import (
    INVALID_RESPONSE_MODE,
    INVOCATION_ID,
    MAX_PAYLOAD_BYTES,
    TOO_LARGE,
    TRUNCATED_REQUEST,
    Answer,
    AnswerKind,
    Event,
    Refusal,
    RuntimeSession,
    RuntimeState,
    parse_error_type,
    platform_error,
    too_large_answer,
)

VERSION = "/2018-06-01"
_NEXT = f"{VERSION}/runtime/invocation/next"
_INVOCATION = f"{VERSION}/runtime/invocation/"
_INIT_ERROR = f"{VERSION}/runtime/init/error"
_PING = f"{VERSION}/ping"

_ACCEPTED = b'{"status":"OK"}\n'
_SERVER = {"Server": "natless"}
_JSON = {"Content-Type": "application/json", **_SERVER}


class PayloadTooLarge(Exception):
    """A posted body outgrew the limit; ``size`` is what is known of its length."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class RuntimeApi:
    """Serves one runtime on a socket that already listens.

    ::

        async with RuntimeApi(listening) as api:
            start_a_process(AWS_LAMBDA_RUNTIME_API=api.address)
            await api.initialized            # the runtime asked for its first event
            answer = await api.offer(event)  # one at a time
            await api.when_idle()            # the runtime asked for its next event

    All these futures are cancelled by :meth:`close`; a caller that outlives it looks at them
    through :func:`natless.lambda_host.clock.wait_first`.

    Args:
        listening: the socket.
        extensions: who answers extensions; without it there are none.
        stream_bytes: how many bytes a streamed response may have.

    Attributes:
        address: ``host:port`` for ``AWS_LAMBDA_RUNTIME_API``.
        initialized: done when the runtime has asked for its first event.
        init_error: done when the runtime posted ``init/error`` instead.
    """

    def __init__(
        self,
        listening: socket.socket,
        *,
        extensions: ExtensionApi | None = None,
        stream_bytes: int = StreamLimits().total_bytes,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._socket = listening
        host, port = listening.getsockname()[:2]
        self.address = f"{host}:{port}"
        self.initialized: asyncio.Future[None] = loop.create_future()
        self.init_error: asyncio.Future[Answer] = loop.create_future()
        self._extensions = extensions
        self._stream_bytes = stream_bytes
        self._session = RuntimeSession()
        self._offered: asyncio.Future[None] = loop.create_future()
        self._idle: asyncio.Future[None] = loop.create_future()
        self._answer: asyncio.Future[Answer] | None = None
        self._sink: ResponseSink | None = None
        self._http = HttpServer(self._handle)
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def state(self) -> RuntimeState:
        """Where the runtime is."""
        return self._session.state

    @property
    def is_idle(self) -> bool:
        """Whether the runtime waits for an event."""
        return self._session.state is RuntimeState.READY and self._session.event is None

    def when_idle(self) -> asyncio.Future[None]:
        """A future that is done the next time the runtime waits for an event. Do not cancel it."""
        return self._idle

    def offer(self, event: Event, *, sink: ResponseSink | None = None) -> asyncio.Future[Answer]:
        """Hands ``event`` to the waiting runtime.

        Args:
            event: what the runtime gets.
            sink: takes the response as it comes, if the runtime streams it; without one it is
                collected, up to the size that any response may have.

        Returns:
            The future of its answer. It stays open when the runtime dies: watch the process too.

        Raises:
            RuntimeError: the runtime does not wait; see :meth:`when_idle`.
        """
        self._session.offer(event)
        self._sink = sink
        self._answer = asyncio.get_running_loop().create_future()
        self._idle = asyncio.get_running_loop().create_future()
        if not self._offered.done():
            self._offered.set_result(None)
        return self._answer

    async def open(self) -> None:
        """Begins to serve; whatever comes of it, :meth:`close` must follow."""
        self._is_open = True
        await self._http.open(self._socket)

    async def close(self) -> None:
        """Stops listening and cuts what is connected. A second call does nothing."""
        if not self._is_open:
            self._socket.close()
            return
        self._is_open = False
        self._offered.cancel()
        self._idle.cancel()
        self.initialized.cancel()
        self.init_error.cancel()
        await self._http.close()

    # -- HTTP --------------------------------------------------------------------------------

    async def _handle(self, request: Request) -> Reply:
        path, method = request.path, request.method
        if path == _NEXT:
            return await self._next() if method == "GET" else _not_allowed()
        if path.startswith(_INVOCATION):
            request_id, _, door = path.removeprefix(_INVOCATION).partition("/")
            if door in (AnswerKind.RESPONSE, AnswerKind.ERROR):
                if method != "POST":
                    return _not_allowed()
                return await self._post(request, AnswerKind(door), request_id=request_id)
        if path == _INIT_ERROR:
            return await self._fail_init(request) if method == "POST" else _not_allowed()
        if path == _PING:
            return Reply(200, b"pong", {"Content-Type": "text/plain", **_SERVER})
        if self._extensions is not None:
            answered = await self._extensions.handle(request)
            if answered is not None:
                return answered
        return Reply(404, b"404 page not found\n", {"Content-Type": "text/plain", **_SERVER})

    async def _next(self) -> Reply:
        refusal = self._session.ask()
        if refusal is not None:
            return _refuse(refusal)
        if not self.initialized.done():
            self.initialized.set_result(None)
        if self.is_idle:
            if self._offered.done():
                self._offered = asyncio.get_running_loop().create_future()
            if not self._idle.done():
                self._idle.set_result(None)
            await asyncio.shield(self._offered)
        event = self._session.serve()
        headers = {name: value for name, value in event.headers.items() if value}
        return Reply(200, event.body, {**_JSON, **headers})

    async def _post(self, request: Request, kind: AnswerKind, *, request_id: str) -> Reply:
        refusal = self._session.begin_post(
            kind, request_id=request_id, invocation_id=request.headers.get(INVOCATION_ID)
        )
        if refusal is not None:
            return _refuse(refusal)
        mode = request.headers.get(MODE, "") if kind is AnswerKind.RESPONSE else ""
        if mode not in ("", "streaming"):
            self._settle(_platform("Runtime.InvalidResponseModeHeader", INVALID_RESPONSE_MODE))
            return _refuse(INVALID_RESPONSE_MODE)
        if mode and self._sink is not None:
            answer, refusal = await self._stream(request, self._sink)
        else:
            answer, refusal = await self._collect(request, kind, is_stream=bool(mode))
        self._session.finish_post()
        self._settle(answer)
        return _refuse(refusal) if refusal else _accept()

    async def _collect(
        self, request: Request, kind: AnswerKind, *, is_stream: bool
    ) -> tuple[Answer, Refusal | None]:
        """A body that is handed over when all of it is there."""
        try:
            body = await _read(request)
        except PayloadTooLarge as error:
            return too_large_answer(error.size), TOO_LARGE
        except BodyBroken:
            return _platform("Runtime.TruncatedResponse", TRUNCATED_REQUEST), TRUNCATED_REQUEST
        if is_stream:
            trailers = request.body.trailers
            return end_of_stream(
                body, headers=request.headers, trailers=trailers, streamed_bytes=None
            ), None
        return _make_answer(kind, body, request), None

    async def _stream(self, request: Request, sink: ResponseSink) -> tuple[Answer, Refusal | None]:
        """A body that is handed over as it comes."""
        sent = 0
        await sink.begin(request.headers)
        try:
            async for piece in request.body:
                if sent + len(piece) > self._stream_bytes:
                    answer = too_large_answer(sent + len(piece), limit=self._stream_bytes)
                    return replace(answer, streamed_bytes=sent), TOO_LARGE
                await sink.write(piece)
                sent += len(piece)
        except BodyBroken:
            answer = _platform("Runtime.TruncatedResponse", TRUNCATED_REQUEST)
            return replace(answer, streamed_bytes=sent), TRUNCATED_REQUEST
        trailers = request.body.trailers
        return end_of_stream(
            b"", headers=request.headers, trailers=trailers, streamed_bytes=sent
        ), None

    async def _fail_init(self, request: Request) -> Reply:
        try:
            body = await _read(request)
        except PayloadTooLarge:
            return _refuse(TOO_LARGE)
        except BodyBroken:
            return _refuse(TRUNCATED_REQUEST)
        refusal = self._session.fail_init()
        if refusal is not None:
            return _refuse(refusal)
        if not self.init_error.done():
            self.init_error.set_result(_make_answer(AnswerKind.INIT_ERROR, body, request))
        return _accept()

    def _settle(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def _make_answer(kind: AnswerKind, body: bytes, request: Request) -> Answer:
    headers = request.headers
    if kind is AnswerKind.RESPONSE:
        return Answer(kind, body, headers=headers)
    error_type = parse_error_type(headers.get("lambda-runtime-function-error-type"))
    return Answer(kind, body, error_type=error_type, headers=headers)


async def _read(request: Request) -> bytes:
    """The whole body, chunked or with a length, up to the limit."""
    announced = request.body.announced or 0
    if announced > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(announced)
    body = bytearray()
    async for piece in request.body:
        body += piece
        if len(body) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(len(body))
    return bytes(body)


def _platform(error_type: str, refusal: Refusal) -> Answer:
    return platform_error(error_type, refusal.message)


def _accept() -> Reply:
    return Reply(202, _ACCEPTED, _JSON)


def _refuse(refusal: Refusal) -> Reply:
    return Reply(refusal.status, refusal.body + b"\n", _JSON)


def _not_allowed() -> Reply:
    return Reply(405, headers=_SERVER)
