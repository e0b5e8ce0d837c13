"""The Runtime API of one execution environment, version 2018-06-01, over HTTP.

One listener for each environment, as the environment sees it: a runtime needs ``host:port`` in
``AWS_LAMBDA_RUNTIME_API``, and clients exist that cannot take a path prefix there. The order of
calls is judged by :class:`RuntimeSession`; here are sockets and HTTP.
"""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError

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
# The X-Ray cause travels in a header of up to 1 MiB (awslambdaric, lambda_runtime_client).
_MAX_HEADER_BYTES = 1024 * 1024 + 1024
_CLOSE_SECONDS = 1.0


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

    Attributes:
        address: ``host:port`` for ``AWS_LAMBDA_RUNTIME_API``.
        initialized: done when the runtime has asked for its first event.
        init_error: done when the runtime posted ``init/error`` instead.
    """

    def __init__(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._socket = listening
        host, port = listening.getsockname()[:2]
        self.address = f"{host}:{port}"
        self.initialized: asyncio.Future[None] = loop.create_future()
        self.init_error: asyncio.Future[Answer] = loop.create_future()
        self._session = RuntimeSession()
        self._offered: asyncio.Future[None] = loop.create_future()
        self._idle: asyncio.Future[None] = loop.create_future()
        self._answer: asyncio.Future[Answer] | None = None
        self._http = web.Server(
            self._handle,
            access_log=None,
            auto_decompress=False,
            max_field_size=_MAX_HEADER_BYTES,
        )
        self._server: asyncio.Server | None = None

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

    @property
    def is_served(self) -> bool:
        """Whether the runtime has taken the event that was offered."""
        return self._session.state is not RuntimeState.READY

    def when_idle(self) -> asyncio.Future[None]:
        """A future that is done the next time the runtime waits for an event. Do not cancel it."""
        return self._idle

    def offer(self, event: Event) -> asyncio.Future[Answer]:
        """Hands ``event`` to the waiting runtime.

        Returns:
            The future of its answer. It stays open when the runtime dies: watch the process too.

        Raises:
            RuntimeError: the runtime does not wait; see :meth:`when_idle`.
        """
        self._session.offer(event)
        self._answer = asyncio.get_running_loop().create_future()
        self._idle = asyncio.get_running_loop().create_future()
        if not self._offered.done():
            self._offered.set_result(None)
        return self._answer

    async def open(self) -> None:
        """Begins to serve; whatever comes of it, :meth:`close` must follow."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._http, sock=self._socket, backlog=64, start_serving=False
        )
        await self._server.start_serving()

    async def close(self) -> None:
        """Stops listening and cuts what is connected. A second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            self._socket.close()
            return
        server.close()
        self._offered.cancel()
        self._idle.cancel()
        self.initialized.cancel()
        self.init_error.cancel()
        await self._http.shutdown(_CLOSE_SECONDS)

    # -- HTTP --------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
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
            return web.Response(text="pong", headers=_SERVER)
        return web.Response(status=404, text="404 page not found\n", headers=_SERVER)

    async def _next(self) -> web.StreamResponse:
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
        headers = {"Content-Type": "application/json"} | {
            name: value for name, value in event.headers.items() if value
        }
        return web.Response(body=event.body, headers=headers | _SERVER)

    async def _post(
        self, request: web.BaseRequest, kind: AnswerKind, *, request_id: str
    ) -> web.StreamResponse:
        refusal = self._session.begin_post(
            kind, request_id=request_id, invocation_id=request.headers.get(INVOCATION_ID)
        )
        if refusal is not None:
            return _refuse(refusal)
        if kind is AnswerKind.RESPONSE:
            mode = request.headers.get("Lambda-Runtime-Function-Response-Mode", "streaming")
            if mode != "streaming":
                self._settle(
                    platform_error(
                        "Runtime.InvalidResponseModeHeader", INVALID_RESPONSE_MODE.message
                    )
                )
                return _refuse(INVALID_RESPONSE_MODE)
        refusal = None
        try:
            body = await _read(request)
            answer = _answer(kind, body, request)
        except PayloadTooLarge as error:
            answer, refusal = too_large_answer(error.size), TOO_LARGE
        except (ClientPayloadError, ConnectionError, web.RequestPayloadError):
            answer = _platform("Runtime.TruncatedResponse", TRUNCATED_REQUEST)
            refusal = TRUNCATED_REQUEST
        self._session.finish_post()
        self._settle(answer)
        return _refuse(refusal) if refusal else _accept()

    async def _fail_init(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await _read(request)
        except PayloadTooLarge:
            return _refuse(TOO_LARGE)
        refusal = self._session.fail_init()
        if refusal is not None:
            return _refuse(refusal)
        if not self.init_error.done():
            self.init_error.set_result(_answer(AnswerKind.INIT_ERROR, body, request))
        return _accept()

    def _settle(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def _answer(kind: AnswerKind, body: bytes, request: web.BaseRequest) -> Answer:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if kind is AnswerKind.RESPONSE:
        return Answer(kind, body, headers=headers)
    error_type = parse_error_type(headers.get("lambda-runtime-function-error-type"))
    return Answer(kind, body, error_type=error_type, headers=headers)


async def _read(request: web.BaseRequest) -> bytes:
    """The whole body, chunked or with a length, up to the limit."""
    announced = request.content_length or 0
    if announced > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(announced)
    if request.headers.get("Expect", "").lower() == "100-continue":
        # curl sends it above 1 MiB and would wait a second for this line
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    async for block in request.content.iter_any():
        body += block
        if len(body) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(len(body))
    return bytes(body)


def _platform(error_type: str, refusal: Refusal) -> Answer:
    return platform_error(error_type, refusal.message)


def _accept() -> web.Response:
    return web.Response(
        status=202, body=_ACCEPTED, content_type="application/json", headers=_SERVER
    )


def _refuse(refusal: Refusal) -> web.Response:
    return web.Response(
        status=refusal.status,
        body=refusal.body + b"\n",
        content_type="application/json",
        headers=_SERVER,
    )


def _not_allowed() -> web.Response:
    return web.Response(status=405, headers=_SERVER)
