"""How AppSync's HTTP front end answers: headers, error bodies, CORS.

Sources: a capture of the CORS headers of AppSync's gateway (DevelopersIO, 2022-05), the headers in
aws-amplify/amplify-js#5518, error bodies in anomalyco/sst#5855 and in Android's test fixtures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

JSON_TYPE = "application/json;charset=UTF-8"
EXPOSED = (
    "x-amzn-RequestId,x-amzn-ErrorType,x-amz-user-agent,x-amzn-ErrorMessage,Date,"
    "x-amz-schema-version"
)
PREFLIGHT_AGE = 172_800  # seconds

_UNKNOWN_OPERATION = (
    b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}'
)


def answer(
    body: bytes,
    *,
    request_id: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A reply with the headers that every reply has."""
    return web.Response(
        body=body,
        status=status,
        headers={
            "Content-Type": JSON_TYPE,
            "x-amzn-RequestId": request_id,
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": EXPOSED,
            **(headers or {}),
        },
    )


def refuse(error_type: str, message: str | None, *, request_id: str, status: int) -> web.Response:
    """An error reply: ``{"errors":[{"errorType":…,"message":…}]}``.

    Without a message it is printed the way Jackson pretty-prints, which is how AWS's 401 looks.
    """
    if message is None:
        text = f'{{\n  "errors" : [ {{\n    "errorType" : "{error_type}"\n  }} ]\n}}'
    else:
        text = _dump({"errors": [{"errorType": error_type, "message": message}]})
    return answer(
        text.encode(),
        request_id=request_id,
        status=status,
        headers={"x-amzn-ErrorType": error_type},
    )


def answer_preflight(request: web.BaseRequest, *, request_id: str) -> web.Response:
    """The reply to ``OPTIONS``: everything that was asked for is allowed, no credentials needed."""
    wanted = request.headers.get("Access-Control-Request-Headers", "*")
    return answer(
        b"",
        request_id=request_id,
        headers={
            "Access-Control-Allow-Methods": "POST,OPTIONS",
            "Access-Control-Allow-Headers": wanted,
            "Access-Control-Max-Age": str(PREFLIGHT_AGE),
        },
    )


def answer_unknown(*, request_id: str) -> web.Response:
    """The reply to a path that nobody serves."""
    return answer(
        _UNKNOWN_OPERATION,
        request_id=request_id,
        status=404,
        headers={"x-amzn-ErrorType": "UnknownOperationException"},
    )


_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
