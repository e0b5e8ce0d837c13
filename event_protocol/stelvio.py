"""An invocation on a channel, as Stelvio speaks it: two shared channels, JSON, and chunks.

::

    stub ── /stelvio/<app>/<env>/in ──▶ listener        a request, with event and context
    stub ◀─ /stelvio/<app>/<env>/out ── listener        an answer, or an error, under its request id

Every stub of a stage hears every answer, and takes those of its own request. What is longer than
200,000 bytes travels as base64 in chunks that name their message, in any order. Observed with
Stelvio 0.10.2b8, whose own words for all of it are the members' names below.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from event_protocol.errors import LocalProtocolError, RemoteProtocolError

NAMESPACE = "stelvio"
WHOLE_BYTES = 200_000
"""A text with more bytes is cut."""

CHUNK_LENGTH = 199_800
"""Characters of base64 in one chunk."""

_CONTEXT = (
    "invoke_id",
    "client_context",
    "cognito_identity",
    "epoch_deadline_time_in_ms",
    "invoked_function_arn",
    "tenant_id",
)


@dataclass(frozen=True, slots=True)
class Request:
    """One invocation, as a stub publishes it.

    Attributes:
        request_id: its id, which the answer carries.
        endpoint_id: which function is meant.
        function_name: what that function is called.
        event: the event, any JSON value.
        deadline: seconds since 1970 at which the function's time is up; None when it was not told.
        arn: of the function.
        client_context: any JSON value.
        identity: of Cognito, any JSON value.
        tenant_id: of a tenant-isolated function.
    """

    request_id: str
    endpoint_id: str
    function_name: str
    event: Any
    deadline: float | None = None
    arn: str = ""
    client_context: Any = None
    identity: Any = None
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a listener publishes for one request: a result, or an error with its type and trace.

    Attributes:
        request_id: whose.
        result: the handler's answer, any JSON value; None when it failed.
        error: what went wrong; None when nothing did.
        error_type: the error's name.
        trace: its lines.
    """

    request_id: str
    result: Any = None
    error: str | None = None
    error_type: str = ""
    trace: Sequence[str] = ()


def channel_segment(name: str) -> str:
    """A name of an app or stage as Stelvio writes it in a channel."""
    written = name.replace("_", "-")
    return written if written[:1].isalpha() else f"s{written}"


def request_channel(app: str, env: str) -> str:
    """Where stubs publish and the listener listens."""
    return f"/{NAMESPACE}/{channel_segment(app)}/{channel_segment(env)}/in"


def answer_channel(app: str, env: str) -> str:
    """Where the listener publishes and every stub listens."""
    return f"/{NAMESPACE}/{channel_segment(app)}/{channel_segment(env)}/out"


def encode_request(request: Request) -> str:
    """The request's text, members in the order in which the stub writes them."""
    deadline = None if request.deadline is None else round(request.deadline * 1000)
    values = (
        request.request_id,
        request.client_context,
        request.identity,
        deadline,
        request.arn,
        request.tenant_id,
    )
    return json.dumps(
        {
            "requestId": request.request_id,
            "invoke_id": request.request_id,
            "endpointId": request.endpoint_id,
            "functionName": request.function_name,
            "event": request.event,
            "context": dict(zip(_CONTEXT, values, strict=True)),
        }
    )


def decode_request(text: str) -> Request:
    """A request from its text.

    Raises:
        RemoteProtocolError: it is none.
    """
    members = _read(text)
    context = members.get("context")
    if not isinstance(context, dict):
        raise RemoteProtocolError("a request of Stelvio's needs a context")
    deadline = context.get("epoch_deadline_time_in_ms")
    if isinstance(deadline, bool) or not isinstance(deadline, int | float):
        deadline = None
    tenant = context.get("tenant_id")
    return Request(
        request_id=_text(members, "requestId"),
        endpoint_id=_text(members, "endpointId"),
        function_name=_text(members, "functionName"),
        event=members.get("event"),
        deadline=None if deadline is None else deadline / 1000,
        arn=_text(context, "invoked_function_arn", default=""),
        client_context=context.get("client_context"),
        identity=context.get("cognito_identity"),
        tenant_id=tenant if isinstance(tenant, str) else None,
    )


def encode_answer(answer: Answer) -> str:
    """The answer's text."""
    members: dict[str, Any] = {"requestId": answer.request_id, "success": answer.error is None}
    if answer.error is None:
        members["result"] = answer.result
    else:
        members |= {
            "error": answer.error,
            "errorType": answer.error_type,
            "stackTrace": list(answer.trace),
        }
    return json.dumps(members)


def decode_answer(text: str) -> Answer:
    """An answer from its text.

    Raises:
        RemoteProtocolError: it is none.
    """
    members = _read(text)
    request_id = _text(members, "requestId")
    if members.get("success"):
        return Answer(request_id, members.get("result"))
    trace = members.get("stackTrace")
    return Answer(
        request_id,
        error=str(members.get("error")),
        error_type=_text(members, "errorType", default="Error"),
        trace=[str(line) for line in trace] if isinstance(trace, list) else [],
    )


def split(text: str, *, request_id: str, chunk_id: str) -> Iterator[str]:
    """The events that a text travels in: itself, or chunks.

    Args:
        text: of a request or an answer.
        request_id: whose; stubs look at it before they join anything.
        chunk_id: names the message; any text that no other message has.
    """
    raw = text.encode()
    if len(raw) <= WHOLE_BYTES:
        yield text
        return
    encoded = base64.b64encode(raw).decode()
    cuts = [encoded[at : at + CHUNK_LENGTH] for at in range(0, len(encoded), CHUNK_LENGTH)]
    for index, cut in enumerate(cuts):
        yield json.dumps(
            {
                "chunked": True,
                "chunkId": chunk_id,
                "requestId": request_id,
                "chunkIndex": index,
                "totalChunks": len(cuts),
                "payload": cut,
            }
        )


@dataclass(slots=True)
class _Open:
    """A message of which some chunks are here."""

    count: int
    cuts: dict[int, str] = field(default_factory=dict)
    size: int = 0


class Chunks:
    """Puts chunked texts together, within bounds: the oldest unfinished one gives way.

    Args:
        max_open: how many may be unfinished.
        max_message_bytes: how long one may be.
    """

    def __init__(self, *, max_open: int = 64, max_message_bytes: int = 16 << 20) -> None:
        if max_open < 1 or max_message_bytes < 1:
            raise LocalProtocolError("bounds are at least 1")
        self._max_open = max_open
        self._max_length = (max_message_bytes + 2) // 3 * 4
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def receive(self, text: str) -> str | None:
        """The whole text that an event completes; None when more of it must come.

        Raises:
            RemoteProtocolError: it is no JSON object, or no chunk that can be.
        """
        members = _read(text)
        if members.get("chunked") is not True:
            return text
        name, cut = _text(members, "chunkId"), _text(members, "payload")
        index, count = _number(members, "chunkIndex"), _number(members, "totalChunks")
        if index >= count:
            raise RemoteProtocolError("a chunk of Stelvio's has no place")
        message = self._open.setdefault(name, _Open(count))
        if message.count != count:
            raise RemoteProtocolError("chunks of one message disagree on how many there are")
        message.size += len(cut) - len(message.cuts.get(index, ""))
        message.cuts[index] = cut
        if message.size > self._max_length:
            del self._open[name]
            raise RemoteProtocolError("a message of Stelvio's is too long")
        if len(message.cuts) == count:
            del self._open[name]
            return _join(message)
        if len(self._open) > self._max_open:
            self._open.popitem(last=False)
        return None


def _join(message: _Open) -> str:
    encoded = "".join(message.cuts[index] for index in range(message.count))
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"chunks of Stelvio's do not fit together: {error}") from error


def _read(text: str) -> dict[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("an event of Stelvio's is no JSON") from error
    if not isinstance(members, dict):
        raise RemoteProtocolError("an event of Stelvio's is no JSON object")
    return members


def _text(members: Mapping[str, Any], name: str, *, default: str | None = None) -> str:
    value = members.get(name, default)
    if value is None:
        value = default
    if not isinstance(value, str):
        raise RemoteProtocolError(f"an event of Stelvio's needs a text {name}")
    return value


def _number(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RemoteProtocolError(f"an event of Stelvio's needs a number {name}")
    return value
