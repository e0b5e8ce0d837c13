"""A function's own URL: any HTTP request in, the function's answer out.

What AWS answers with a bare ``Internal Server Error`` says here why, since whoever calls is the one
who writes the function. The status is the same.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection

from aiohttp import web

from natless.lambda_host.door import refuse_strangers
from natless.lambda_host.host import MAX_REQUEST_BYTES, InvokeResult, LambdaHost
from natless.lambda_host.http_event import (
    HttpAnswer,
    HttpRequest,
    MalformedAnswer,
    decode_answer,
    encode_event,
)
from natless.lambda_host.service import Call, LambdaService

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

    async def call(request: web.Request) -> web.Response:
        return await _call(request, service, service.functions[name])

    app.router.add_route("*", "/{path:.*}", call)
    return app


async def _call(request: web.Request, service: LambdaService, host: LambdaHost) -> web.Response:
    path, _, query = request.raw_path.partition("?")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return _respond(_explain(413, "Request Entity Too Large"), "")
    came = HttpRequest(
        method=request.method,
        path=path,
        query=query,
        headers=[*request.headers.items(), *_forwarded(request)],
        body=body,
        source=request.remote or "",
        protocol=f"HTTP/{request.version.major}.{request.version.minor}",
    )
    request_id = service.new_id()
    event = encode_event(came, name=host.spec.name, request_id=request_id, wall=time.time())
    call = Call(
        host, event, via="url", request_id=request_id, title=f"{request.method} {request.path}"
    )
    service.tell_received(call)
    try:
        result = await service.run(call)
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        # the function is being stopped under its caller
        return _respond(_explain(503, "Service Unavailable"), request_id)
    answer, note = _make_answer(result)
    service.tell_answered(call, result, status=answer.status, note=note)
    return _respond(answer, request_id)


def _forwarded(request: web.Request) -> list[tuple[str, str]]:
    """What AWS's own front says of the connection, unless a front of the developer's said it."""
    own = {
        "x-forwarded-for": request.remote or "",
        "x-forwarded-proto": request.scheme,
        "x-forwarded-port": str(request.url.port or 80),
    }
    return [(name, value) for name, value in own.items() if name not in request.headers]


def _make_answer(result: InvokeResult) -> tuple[HttpAnswer, str]:
    """The response, and why it is not the function's own."""
    if result.status == 413:
        return _explain(413, "Request Entity Too Large"), "the event has more than 6 MB"
    if result.status != 200:
        return _explain(result.status, "Rate Exceeded."), "every execution environment is busy"
    if result.function_error is not None:
        error = _read_error(result.payload)
        note = ": ".join(filter(None, (error["errorType"], error["errorMessage"])))
        return _explain(502, "Internal Server Error", **error), note
    try:
        return decode_answer(result.payload), ""
    except MalformedAnswer as malformed:
        error = {"errorType": "MalformedAnswer", "errorMessage": str(malformed)}
        return _explain(502, "Internal Server Error", **error), str(malformed)


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
