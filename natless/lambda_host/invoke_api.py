"""The part of Lambda's API that callers use: Invoke, and who is there to be invoked.

===========================================================  ===============================
``POST /2015-03-31/functions/NAME/invocations``              ``Invoke``
``POST /2021-11-15/functions/NAME/…``                        ``InvokeWithResponseStream``
``POST /2014-11-13/functions/NAME/invoke-async/``            ``InvokeAsync``
===========================================================  ===============================

Paths, headers and error names are those of the service model in botocore 1.40, checked with boto3;
signatures are neither asked for nor looked at.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NoReturn

from aiohttp import web

from natless.lambda_host import event_stream
from natless.lambda_host.door import Handler, refuse_strangers
from natless.lambda_host.function_api import (
    SERVICE,
    add_function_routes,
    find_host,
    refuse_parameter,
)
from natless.lambda_host.host import MAX_REQUEST_BYTES, InvokeResult, LambdaHost
from natless.lambda_host.refusal import Refusal, too_large
from natless.lambda_host.service import Call, LambdaService
from natless.lambda_host.spec import VERSION

MAX_EVENT_BYTES = 1024 * 1024  # asynchronous; 256 KB until October 2025 (AWS Compute Blog)
MAX_CONTEXT_BYTES = 3583  # of base64 (AWS Lambda API reference, "Invoke")
# A larger body is read no further; the margin lets its exact size be told when it is just too large
_READ_BYTES = MAX_REQUEST_BYTES + 1024 * 1024

# What a caller may say that the runtime hears
_PASSED_ON = (
    ("X-Amzn-Trace-Id", "Lambda-Runtime-Trace-Id"),
    ("X-Amz-Tenant-Id", "Lambda-Runtime-Aws-Tenant-Id"),
)


def make_invoke_api(service: LambdaService) -> web.Application:
    """The application; its owner serves it."""
    app = web.Application(
        middlewares=[_explain_refusals, refuse_strangers(allow_pages=False)],
        client_max_size=_READ_BYTES,
    )
    app[SERVICE] = service
    functions = "/2015-03-31/functions"
    app.router.add_post(functions + "/{name}/invocations", _invoke)
    app.router.add_post(
        "/2021-11-15/functions/{name}/response-streaming-invocations", _invoke_with_stream
    )
    for path in (
        "/2014-11-13/functions/{name}/invoke-async/",
        "/2014-11-13/functions/{name}/invoke-async",
    ):
        app.router.add_post(path, _invoke_async)
    add_function_routes(app)
    return app


@web.middleware
async def _explain_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except Refusal as refusal:
        response = _refuse(refusal)
    except web.HTTPNotFound:
        response = _refuse(
            Refusal(
                404, "UnknownOperationException", f"{request.method} {request.path} is not here"
            )
        )
    if "X-Amzn-RequestId" not in response.headers:
        response.headers["X-Amzn-RequestId"] = request.app[SERVICE].new_id()
    return response


def _refuse(refusal: Refusal) -> web.Response:
    return web.Response(
        status=refusal.status,
        body=refusal.body,
        headers=refusal.headers,
        content_type="application/json",
    )


# -- Invoke --------------------------------------------------------------------------------------


async def _invoke(request: web.Request) -> web.Response:
    kind = _read_kind(request, "RequestResponse", "Event", "DryRun")
    call = await _read_call(request, is_event=kind == "Event")
    headers = {"X-Amzn-RequestId": call.request_id}
    if kind == "DryRun":
        return web.Response(status=204, headers=headers)
    service = request.app[SERVICE]
    if kind == "Event":
        service.enqueue(call)
        return web.Response(status=202, headers=headers)
    async with _unless_stopped():
        result = await service.invoke(call)
    return _answer(result, headers, wants_tail=call.wants_tail)


async def _invoke_async(request: web.Request) -> web.Response:
    """The way of 2014, which SDKs still offer."""
    call = await _read_call(request, is_event=True)
    request.app[SERVICE].enqueue(call)
    return web.Response(status=202, headers={"X-Amzn-RequestId": call.request_id})


async def _invoke_with_stream(request: web.Request) -> web.StreamResponse:
    kind = _read_kind(request, "RequestResponse", "DryRun")
    call = replace(await _read_call(request), via="stream")
    headers = {"X-Amzn-RequestId": call.request_id, "X-Amz-Executed-Version": VERSION}
    if kind == "DryRun":
        return web.Response(status=204, headers=headers)
    stream = _EventStream(request, headers)
    service = request.app[SERVICE]
    service.tell_received(call)
    try:
        async with _unless_stopped():
            result = await service.run(call, sink=stream)
    except Refusal as refusal:
        if not stream.is_begun:
            raise
        return await stream.finish(
            event_stream.invoke_complete(
                error_code=refusal.error_type, error_details=refusal.message
            )
        )
    service.tell_answered(call, result, status=result.status)
    if result.status != 200:
        return _answer(result, headers, wants_tail=False)
    if result.function_error is None:
        if result.streamed_bytes is None:
            await stream.write(result.payload)
        end = event_stream.invoke_complete(log_result=_encode_tail(result, call))
    else:
        end = event_stream.invoke_complete(
            error_code=result.error_type,
            error_details=result.payload.decode(errors="replace"),
            log_result=_encode_tail(result, call),
        )
    return await stream.finish(end)


class _EventStream:
    """A response in AWS's event-stream encoding, which begins when there is something to say."""

    def __init__(self, request: web.Request, headers: Mapping[str, str]) -> None:
        self._request = request
        self._response = web.StreamResponse(
            headers={**headers, "Content-Type": event_stream.CONTENT_TYPE}
        )

    @property
    def is_begun(self) -> bool:
        """Whether the caller has got something already."""
        return self._response.prepared

    async def begin(self, headers: Mapping[str, str]) -> None:
        """The function's stream begins: its caller shall know."""
        if (kind := headers.get("content-type")) is not None:
            self._response.headers["X-Amzn-Remapped-Content-Type"] = kind
        await self._send(b"")

    async def write(self, piece: bytes) -> None:
        """Sends a part of the response."""
        if piece:
            await self._send(event_stream.payload_chunk(piece))

    async def finish(self, message: bytes) -> web.StreamResponse:
        """Sends the last message."""
        await self._send(message)
        return self._response

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # who has gone hears nothing; the function goes on
            if not self._response.prepared:
                await self._response.prepare(self._request)
            await self._response.write(data)


@asynccontextmanager
async def _unless_stopped() -> AsyncIterator[None]:
    """Tells the caller when the function is being stopped under it."""
    try:
        yield
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        raise Refusal(500, "ServiceException", "the function's host is being stopped") from None


def _read_kind(request: web.Request, *kinds: str) -> str:
    kind = request.headers.get("X-Amz-Invocation-Type", kinds[0])
    if kind not in kinds:
        *first, last = kinds
        refuse_parameter(f"X-Amz-Invocation-Type is {kind!r}: {', '.join(first)} or {last}")
    return kind


async def _read_call(request: web.Request, *, is_event: bool = False) -> Call:
    host, qualifier = find_host(request)
    payload = await _read_payload(request, MAX_EVENT_BYTES if is_event else MAX_REQUEST_BYTES)
    return Call(
        host,
        payload,
        via="event" if is_event else "invoke",
        request_id=request.app[SERVICE].new_id(),
        client_context=_read_context(request.headers.get("X-Amz-Client-Context", "")),
        headers=_pass_on(request, host, qualifier),
        wants_tail=_wants_tail(request) and not is_event,
    )


def _pass_on(request: web.Request, host: LambdaHost, qualifier: str) -> dict[str, str]:
    """What the runtime hears of the call: under which ARN it was invoked, trace and tenant."""
    said = {theirs: request.headers[ours] for ours, theirs in _PASSED_ON if ours in request.headers}
    if qualifier:
        said["Lambda-Runtime-Invoked-Function-Arn"] = f"{host.spec.arn}:{qualifier}"
    return said


def _encode_tail(result: InvokeResult, call: Call) -> str:
    return base64.b64encode(result.log_tail).decode() if call.wants_tail else ""


def _answer(result: InvokeResult, headers: dict[str, str], *, wants_tail: bool) -> web.Response:
    if result.status != 200:
        said = json.loads(result.payload)
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded" if result.status == 429 else ""
        refusal = Refusal(result.status, said["__type"], said["message"], reason=reason)
        response = _refuse(refusal)
        response.headers.update(headers)
        return response
    headers["X-Amz-Executed-Version"] = result.executed_version
    if result.function_error is not None:
        headers["X-Amz-Function-Error"] = result.function_error
    if wants_tail:
        headers["X-Amz-Log-Result"] = base64.b64encode(result.log_tail).decode()
    return web.Response(
        status=200, body=result.payload, headers=headers, content_type="application/json"
    )


async def _read_payload(request: web.Request, limit: int) -> bytes:
    if (size := request.content_length or 0) > limit:
        raise too_large(size, limit=limit)
    try:
        payload = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large(_READ_BYTES, limit=limit) from error
    if len(payload) > limit:
        raise too_large(len(payload), limit=limit)
    if not payload:
        return b"{}"
    check_json(payload)
    return payload


def check_json(payload: bytes) -> None:
    """Lets JSON through.

    Raises:
        Refusal: it is none.
    """
    try:
        json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            400,
            "InvalidRequestContentException",
            f"Could not parse request body into json: {error}",
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _read_context(text: str) -> str | None:
    if not text:
        return None
    try:
        if len(text) > MAX_CONTEXT_BYTES:
            raise ValueError("too long")
        context = base64.b64decode(text, validate=True).decode("utf-8")
        if not isinstance(json.loads(context), dict):
            raise ValueError("no object")
    except (ValueError, RecursionError, binascii.Error) as error:
        raise Refusal(
            400,
            "InvalidRequestContentException",
            f"Client context must be a base64 encoded JSON object of up to {MAX_CONTEXT_BYTES} "
            f"bytes: {error}",
        ) from error
    return context


def _wants_tail(request: web.Request) -> bool:
    kind = request.headers.get("X-Amz-Log-Type", "None")
    if kind not in ("None", "Tail"):
        refuse_parameter(f"X-Amz-Log-Type is {kind!r}: None or Tail")
    return kind == "Tail"
