"""An HTTP request as the event of a function URL, and the function's answer as a response.

Payload format 2.0: AWS Lambda developer guide, "Invoking Lambda function URLs". Which bodies are
handed over as text was looked up on AWS by ministackorg/ministack#766: only the types below, a
form is base64 too.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})
# How a runtime announces a prelude before a streamed body, and what parts the two (Node.js RIC)
STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
SEPARATOR = b"\0" * 8
# The connection's business, or ours: whatever a function says there would contradict the response.
_NOT_PASSED_ON = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_HEADERS = re.compile(r"[\r\n\0]")


class MalformedAnswer(Exception):
    """What a function returned is no HTTP response; the text says why, and what would be."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came.

    Attributes:
        method: such as ``GET``.
        path: as sent, percent signs included.
        query: as sent, without the question mark.
        headers: names and values as sent, in order.
        body: its bytes.
        source: the caller's address.
        protocol: such as ``HTTP/1.1``.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source: str
    protocol: str = "HTTP/1.1"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response to be sent; each cookie is a header of its own."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def encode_event(request: HttpRequest, *, name: str, request_id: str, wall: float) -> bytes:
    """The event that the function gets.

    Args:
        request: what came.
        name: stands for the URL's id.
        request_id: of this request, not of the invocation.
        wall: seconds since 1970.
    """
    headers = _join(request.headers)
    cookies = _read_cookies(headers.pop("cookie", ""))
    query = _join(parse_qsl(request.query, keep_blank_values=True), lower=False)
    host = headers.get("host", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        **({"cookies": cookies} if cookies else {}),
        "headers": headers,
        **({"queryStringParameters": query} if query else {}),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": name,
            "domainName": host.rpartition(":")[0] or host,
            "domainPrefix": name,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.protocol,
                "sourceIp": request.source,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": f"{datetime.fromtimestamp(wall, UTC):%d/%b/%Y:%H:%M:%S +0000}",
            "timeEpoch": int(wall * 1000),
        },
    }
    if request.body:
        text = _as_text(request.body, headers.get("content-type", ""))
        is_binary = text is None
        event["body"] = base64.b64encode(request.body).decode() if text is None else text
        event["isBase64Encoded"] = is_binary
    else:
        event["isBase64Encoded"] = False
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")  # a header may have bytes that are no text


def decode_answer(payload: bytes) -> HttpAnswer:
    """The response that a function's answer means.

    An object with ``statusCode`` describes one; everything else is its body, with status 200.

    Raises:
        MalformedAnswer: it describes no possible response.
    """
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        if SEPARATOR in payload:
            raise MalformedAnswer(
                "the function streams its answer, and its URL does not: "
                'set url_mode = "RESPONSE_STREAM"'
            ) from error
        raise MalformedAnswer(f"the function's answer is not JSON: {error}") from error
    if not (isinstance(value, dict) and "statusCode" in value):
        return HttpAnswer(200, (("content-type", "application/json"),), payload)
    headers = _read_headers(value.get("headers"))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    headers += [("set-cookie", cookie) for cookie in _read_answer_cookies(value.get("cookies"))]
    return HttpAnswer(_read_status(value["statusCode"]), tuple(headers), _read_body(value))


def decode_prelude(prelude: bytes) -> HttpAnswer:
    """The response that begins with a prelude; its body follows as a stream.

    Raises:
        MalformedAnswer: the prelude describes no possible response.
    """
    try:
        value = json.loads(prelude)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(f"the prelude of the stream is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedAnswer(f"the prelude of the stream is {_show(value)}, not an object")
    headers = _read_headers(value.get("headers"))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/octet-stream"))
    headers += [("set-cookie", cookie) for cookie in _read_answer_cookies(value.get("cookies"))]
    return HttpAnswer(_read_status(value.get("statusCode", 200)), tuple(headers), b"")


def decode_collected(payload: bytes) -> HttpAnswer:
    """A streamed answer that was collected on its way: prelude and body, or any other answer.

    Raises:
        MalformedAnswer: it describes no possible response.
    """
    prelude, separator, body = payload.partition(SEPARATOR)
    return replace(decode_prelude(prelude), body=body) if separator else decode_answer(payload)


# -- the request ---------------------------------------------------------------------------------


def _join(pairs: Sequence[tuple[str, str]], *, lower: bool = True) -> dict[str, str]:
    """Names that come twice have their values joined by a comma; those of headers in lower case."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower() if lower else name
        separator = "; " if key == "cookie" and lower else ","
        joined[key] = f"{joined[key]}{separator}{value}" if key in joined else value
    return joined


def _read_cookies(header: str) -> list[str]:
    return [each.strip() for each in header.split(";") if each.strip()]


def _as_text(body: bytes, content_type: str) -> str | None:
    """The body as text, None when it is handed over as base64."""
    kind = content_type.partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind in _TEXT_TYPES):
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


# -- the answer ----------------------------------------------------------------------------------


def _read_status(value: Any) -> int:  # noqa: ANN401  any JSON
    text = value if isinstance(value, str) else None
    status = int(text) if text is not None and re.fullmatch(r"\d{3}", text) else value
    # 1xx are no final answers; a connection that is handed over is no business of a function
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise MalformedAnswer(f"statusCode is {_show(value)}, not a number from 200 to 599")
    return status


def _read_headers(value: Any) -> list[tuple[str, str]]:  # noqa: ANN401  any JSON
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise MalformedAnswer(f"headers is {_show(value)}, not an object")
    headers = []
    for name, said in value.items():
        if isinstance(said, bool):
            text = "true" if said else "false"
        elif isinstance(said, str | int | float):
            text = str(said)
        else:
            raise MalformedAnswer(f"the header {name!r} is {_show(said)}, not a text")
        if not _HEADER_NAME.fullmatch(name) or _NOT_IN_HEADERS.search(text):
            raise MalformedAnswer(f"the header {name!r} has characters that no header may have")
        if name.lower() not in _NOT_PASSED_ON:
            headers.append((name, text))
    return headers


def _read_answer_cookies(value: Any) -> list[str]:  # noqa: ANN401  any JSON
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MalformedAnswer(f"cookies is {_show(value)}, not a list of texts")
    if any(_NOT_IN_HEADERS.search(each) for each in value):
        raise MalformedAnswer("a cookie has characters that no header may have")
    return value


def _read_body(value: Mapping[str, Any]) -> bytes:
    body = value.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswer(f"body is {_show(body)}, not a text: encode it as JSON yourself")
    if value.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedAnswer(f"isBase64Encoded is true, and body is no base64: {error}") from error


def _show(value: Any) -> str:  # noqa: ANN401  any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
