"""A function's own URL: any HTTP request in, the function's answer out.

What AWS answers with a bare ``Internal Server Error`` says here why, since whoever calls is the one
who writes the function. The status is the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection

from aiohttp import web

from natless.lambda_host.door import refuse_strangers
from natless.lambda_host.host import MAX_REQUEST_BYTES, InvokeResult, LambdaHost
from natless.lambda_host.http_event import (
    HttpAnswer,
    HttpRequest,
    MalformedAnswer,
    decode_answer,
    decode_collected,
    encode_event,
)
from natless.lambda_host.service import Call, LambdaService
from natless.lambda_host.url_stream import UrlStream

_JSON = (("content-type", "application/json"),)


def make_function_url(
    service: LambdaService, name: str, *, hosts: Collection[str] = ()
) -> web.Application:
    """The application that stands for one function; its owner serves it.

    Args:
        service: what runs it.
        name: the function's; it must be one of the service.
        hosts: host names besides this machine's that may call, such as a tunnel's.
    """
    app = web.Application(
        middlewares=[refuse_strangers(hosts, allow_pages=True)], client_max_size=MAX_REQUEST_BYTES
    )

    async def call(request: web.Request) -> web.StreamResponse:
        return await _call(request, service, service.functions[name])

    app.router.add_route("*", "/{path:.*}", call)
    return app


async def _call(
    request: web.Request, service: LambdaService, host: LambdaHost
) -> web.StreamResponse:
    request_id = service.new_id()
    try:
        event = await _read_event(request, service, host, request_id=request_id)
    except web.HTTPRequestEntityTooLarge:
        return _respond(_explain(413, "Request Entity Too Large"), "")
    call = Call(
        host,
        event,
        via="url",
        request_id=request_id,
        headers=_read_trace(request),
        title=f"{request.method} {request.path}",
    )
    stream = UrlStream(request, request_id) if host.spec.streams_url else None
    service.tell_received(call)
    try:
        result = await service.run(call, sink=stream)
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        # the function is being stopped under its caller
        if stream is not None and stream.response is not None:
            return stream.end(is_broken=True)
        return _respond(_explain(503, "Service Unavailable"), request_id)
    if stream is not None and stream.response is not None:
        note = _describe_error(result)
        service.tell_answered(call, result, status=stream.response.status, note=note)
        return stream.end(is_broken=result.function_error is not None)
    problem = stream.problem if stream is not None else ""
    answer, note = _make_answer(result, streams=host.spec.streams_url, problem=problem)
    service.tell_answered(call, result, status=answer.status, note=note)
    return _respond(answer, request_id)


async def _read_event(
    request: web.Request, service: LambdaService, host: LambdaHost, *, request_id: str
) -> bytes:
    path, _, query = request.raw_path.partition("?")
    came = HttpRequest(
        method=request.method,
        path=path,
        query=query,
        headers=[*request.headers.items(), *_forwarded(request)],
        body=await request.read(),
        source=request.remote or "",
        protocol=f"HTTP/{request.version.major}.{request.version.minor}",
    )
    return encode_event(came, name=host.spec.name, request_id=request_id, wall=service.clock.wall())


def _read_trace(request: web.Request) -> dict[str, str]:
    trace = request.headers.get("X-Amzn-Trace-Id")
    return {"Lambda-Runtime-Trace-Id": trace} if trace else {}


def _forwarded(request: web.Request) -> list[tuple[str, str]]:
    """What AWS's own front says of the connection, unless a front of the developer's said it."""
    own = {
        "x-forwarded-for": request.remote or "",
        "x-forwarded-proto": request.scheme,
        "x-forwarded-port": str(request.url.port or 80),
    }
    return [(name, value) for name, value in own.items() if name not in request.headers]


def _make_answer(result: InvokeResult, *, streams: bool, problem: str) -> tuple[HttpAnswer, str]:
    """The response, and why it is not the function's own.

    Args:
        result: what the function did.
        streams: whether it was asked to stream.
        problem: why its stream could not be handed on, if so.
    """
    if result.status == 413:
        return _explain(413, "Request Entity Too Large"), "the event has more than 6 MB"
    if result.status != 200:
        return _explain(result.status, "Rate Exceeded."), "every execution environment is busy"
    if result.function_error is not None:
        error = _read_error(result.payload)
        return _explain(502, "Internal Server Error", **error), _describe_error(result)
    try:
        if problem:
            raise MalformedAnswer(problem)
        return (decode_collected if streams else decode_answer)(result.payload), ""
    except MalformedAnswer as malformed:
        error = {"errorType": "MalformedAnswer", "errorMessage": str(malformed)}
        return _explain(502, "Internal Server Error", **error), str(malformed)


def _describe_error(result: InvokeResult) -> str:
    if result.function_error is None:
        return ""
    error = _read_error(result.payload)
    return ": ".join(filter(None, (error["errorType"], error["errorMessage"])))


def _read_error(payload: bytes) -> dict[str, str]:
    try:
        said = json.loads(payload)
        return {name: str(said.get(name) or "") for name in ("errorType", "errorMessage")}
    except (ValueError, AttributeError, RecursionError):
        return {"errorType": "", "errorMessage": payload[:1000].decode(errors="replace")}


def _explain(status: int, message: str, **more: str) -> HttpAnswer:
    text = json.dumps({"message": message, **more}, indent=2, ensure_ascii=False)
    return HttpAnswer(status, _JSON, text.encode() + b"\n")


def _respond(answer: HttpAnswer, request_id: str) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    for name, value in answer.headers:
        response.headers.add(name, value)
    if request_id:
        response.headers["x-amzn-RequestId"] = request_id
    return response
