"""What the messages INIT and NEXT contain.

INIT is JSON. NEXT is the Runtime API's HTTP response itself, byte for byte as Go writes it, so the
deadline, the trace id and the client context travel along; if that response was chunked, the body
inside NEXT is chunk-framed too (observed with the unmodified bridge of SST 4.17.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from event_protocol.errors import LocalProtocolError, RemoteProtocolError

SHIM_VERSION: Final = 1
"""The version of our extension that an INIT with features announces."""

ENVIRONMENT_NOT_SENT: Final = frozenset(
    {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "AWS_XRAY_DAEMON_PORT",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "LANG",
        "LD_LIBRARY_PATH",
        "NODE_PATH",
        "PATH",
        "PWD",
        "SHLVL",
        "SST_DEBUG_ENDPOINT",
        "SST_DEBUG_SRC_HANDLER",
        "SST_DEBUG_SRC_PATH",
        "_HANDLER",
        "_LAMBDA_CONSOLE_SOCKET",
        "_LAMBDA_CONTROL_SOCKET",
        "_LAMBDA_LOG_FD",
        "_LAMBDA_RUNTIME_LOAD_TIME",
        "_LAMBDA_SB_ID",
        "_LAMBDA_SERVER_PORT",
        "_LAMBDA_SHARED_MEM_FD",
    }
)
"""Variables that belong to the execution environment, which a guest leaves out of its INIT."""


@dataclass(frozen=True, slots=True)
class InitBody:
    """What a guest says about itself.

    Attributes:
        function_id: whose code is to run.
        environment: the function's variables; among them the credentials of its role.
        features: what a guest of ours can do beyond SST Live; empty for the unmodified bridge.
    """

    function_id: str
    environment: Mapping[str, str] = field(repr=False)
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NextEvent:
    """One invocation.

    Attributes:
        headers: the Runtime API's, names in lower case (``lambda-runtime-aws-request-id`` …).
        body: the event.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def encode_init(
    function_id: str, environment: Mapping[str, str], features: Sequence[str] = ()
) -> bytes:
    """The body of INIT. Leave :data:`ENVIRONMENT_NOT_SENT` out of ``environment`` yourself."""
    body: dict[str, object] = {
        "functionID": function_id,
        "environment": [f"{name}={value}" for name, value in environment.items()],
    }
    if features:
        body["shim"] = {"v": SHIM_VERSION, "features": list(features)}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def decode_init(body: bytes) -> InitBody:
    """What the body of INIT says. An entry without ``=`` names no variable and is skipped.

    Raises:
        RemoteProtocolError: the body is not one of INIT. It is not repeated: it holds credentials.
    """
    try:
        raw = json.loads(body)
        pairs = [entry.partition("=") for entry in raw["environment"]]
        shim = raw.get("shim") or {}
        return InitBody(
            function_id=_text(raw["functionID"]),
            environment={_text(name): value for name, equals, value in pairs if equals},
            features=tuple(_text(feature) for feature in shim.get("features") or ()),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RemoteProtocolError("the message is not an INIT") from None


def encode_next(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body of NEXT: an HTTP response with its length first, then the headers by name.

    Headers that describe the body's own transfer are replaced.

    Raises:
        LocalProtocolError: a header cannot be written: it has a line break, or no UTF-8.
    """
    lines = [f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"]
    for name in sorted(headers, key=str.lower):
        if name.lower() in {"content-length", "transfer-encoding"}:
            continue
        if not _is_token(name) or not _is_field_value(headers[name]):
            raise LocalProtocolError("a header's name or value cannot be written")
        lines.append(f"{name}: {headers[name]}\r\n")
    try:
        return "".join([*lines, "\r\n"]).encode("utf-8", "surrogateescape") + body
    except UnicodeEncodeError:
        raise LocalProtocolError("a header's value is not UTF-8") from None


def decode_next(raw: bytes) -> NextEvent:
    """The invocation in the body of NEXT, its transfer coding undone.

    A body with neither length nor chunks lasts to the end. Of a repeated header the last counts.

    Raises:
        RemoteProtocolError: it is not an HTTP response with a status of 2xx, or its body is cut
            short.
    """
    head, blank, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    if not blank or not re.fullmatch(rb"HTTP/1\.[01] 2\d\d(?: [^\r\n]*)?", status):
        raise RemoteProtocolError("the message is not the HTTP response of an invocation")
    headers = dict(map(_parse_header, lines))
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return NextEvent(headers, _join_chunks(body))
    if "content-length" in headers:
        return NextEvent(headers, _cut(body, headers["content-length"]))
    return NextEvent(headers, body)


_is_token = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+").fullmatch
_is_field_value = re.compile(r"[^\x00\r\n]*").fullmatch
_chunk_head = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _parse_header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
    if not colon or not _is_token(name):
        raise RemoteProtocolError("a line of the invocation's head is not a header")
    return name.lower(), value.strip(" \t")


def _cut(body: bytes, length: str) -> bytes:
    if not re.fullmatch(r"[0-9]{1,15}", length) or int(length) > len(body):
        raise RemoteProtocolError("the invocation's event is cut short")
    return body[: int(length)]


def _join_chunks(body: bytes) -> bytes:
    """The content of a chunked body; trailers, and what follows them, are not looked at."""
    chunks: list[bytes] = []
    position = 0
    while match := _chunk_head.match(body, position):
        start, size = match.end(), int(match[1], 16)
        if size == 0:
            return b"".join(chunks)
        position = start + size + 2
        if body[position - 2 : position] != b"\r\n":
            break
        chunks.append(body[start : start + size])
    raise RemoteProtocolError("the invocation's event is cut short")
