"""Text to frame and back. The only file that knows JSON keys and milliseconds.

Unknown members are ignored: Amplify repeats a frame's content under ``payload`` for historical
reasons. Of a repeated member the last one counts, as in every JSON parser that clients use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Any

from event_protocol.errors import LocalProtocolError, RemoteProtocolError
from event_protocol.frames import (
    Accepted,
    BroadcastError,
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Errors,
    Frame,
    KeepAlive,
    OperationError,
    Publish,
    PublishError,
    PublishSuccess,
    Rejected,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    Unsubscribe,
    UnsubscribeError,
    UnsubscribeSuccess,
    WireError,
    is_id,
)

Members = Mapping[str, Any]

UNSUPPORTED = "Operation not supported through the realtime channel"
"""AWS's sentence for an unknown ``type`` (seen in the tests of aws-amplify/amplify-android)."""

UNNAMED_ERROR = "UnknownError"
"""The type of an error that a server sent without one; unknown names are generic to all clients."""


def encode(frame: Frame) -> str:
    """The frame as compact JSON, its members in the order AWS writes them; not only ASCII."""
    return _ENCODERS[type(frame)](frame)


def decode(text: str) -> Frame:
    """The frame that the text holds.

    Raises:
        RemoteProtocolError: the text is not JSON, not an object, of a type that nobody knows
            (``UnsupportedOperation``), or breaks a rule of its type. ``frame_id`` and
            ``frame_type`` are set as far as the text gives them.
    """
    members = _parse_object(text)
    kind = members.get("type")
    if not isinstance(kind, str):
        raise RemoteProtocolError("type must be a string", frame_id=_id_of(members))
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise RemoteProtocolError(
            UNSUPPORTED, error_type="UnsupportedOperation", frame_id=_id_of(members)
        )
    try:
        return decoder(members)
    except LocalProtocolError as error:
        raise RemoteProtocolError(str(error), frame_id=_id_of(members), frame_type=kind) from error


def _id_of(members: Members) -> str | None:
    value = members.get("id")
    return value if is_id(value) else None


def _refuse_constant(_: str) -> None:
    raise ValueError


_parse = json.JSONDecoder(parse_constant=_refuse_constant).decode
_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _parse_object(text: str) -> Members:
    try:
        value = _parse(text)
    except (ValueError, RecursionError):  # not chained: the foreign error repeats the peer's text
        raise RemoteProtocolError("the frame is not JSON") from None
    if not isinstance(value, dict):
        raise RemoteProtocolError("the frame is not a JSON object")
    return value


def _decode_ack(members: Members) -> ConnectionAck:
    value = members.get("connectionTimeoutMs")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LocalProtocolError("connectionTimeoutMs must be a number")
    try:
        return ConnectionAck(value / 1000)
    except OverflowError:
        raise LocalProtocolError("connectionTimeoutMs is too large") from None


def _decode_authorization(members: Members) -> Mapping[str, str]:
    value = members.get("authorization")
    if value is None:  # whether an operation may go without is for the authorization to say
        return {}
    if not isinstance(value, dict):
        raise LocalProtocolError("authorization must be an object")
    return value


def _decode_subscribe(members: Members) -> Subscribe:
    return Subscribe(members.get("id"), members.get("channel"), _decode_authorization(members))  # type: ignore[arg-type]  # the frame checks


def _decode_publish(members: Members) -> Publish:
    events = members.get("events")
    if not isinstance(events, list):
        raise LocalProtocolError("events must be a list of strings")
    return Publish(
        members.get("id"),  # type: ignore[arg-type]  # the frame checks
        members.get("channel"),  # type: ignore[arg-type]
        tuple(events),
        _decode_authorization(members),
    )


def _decode_publish_success(members: Members) -> PublishSuccess:
    try:
        return PublishSuccess(
            members.get("id"),  # type: ignore[arg-type]  # the frame checks
            tuple(
                Accepted(str(each["identifier"]), int(each["index"]))
                for each in members.get("successful") or ()
            ),
            tuple(
                Rejected(
                    str(each["identifier"]),
                    int(each["index"]),
                    str(each.get("code", "")),  # Amplify's Android fixtures have numbers here
                    str(each.get("message", "")),
                )
                for each in members.get("failed") or ()
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise LocalProtocolError("successful and failed must list events") from None


def _decode_errors(members: Members) -> Errors:
    """A list, one object, or nothing at all: an error must not be lost because of its shape."""
    value = members.get("errors")
    entries = value if isinstance(value, list) else [value]
    errors = tuple(_decode_error(each) for each in entries if isinstance(each, dict))
    return errors or (WireError(UNNAMED_ERROR),)


def _decode_error(entry: Members) -> WireError:
    error_type, message, code = (entry.get(k) for k in ("errorType", "message", "errorCode"))
    return WireError(
        error_type if isinstance(error_type, str) and error_type else UNNAMED_ERROR,
        message if isinstance(message, str) else None,
        code if isinstance(code, int) and not isinstance(code, bool) else None,
    )


def _decode_operation_error(members: Members) -> OperationError:
    return OperationError(_decode_errors(members), _id_of(members))


def _only_id(build: Callable[[str], Frame]) -> Callable[[Members], Frame]:
    return lambda members: build(members.get("id"))  # type: ignore[arg-type]  # the frame checks


def _id_and_errors(build: Callable[[str, Errors], Frame]) -> Callable[[Members], Frame]:
    return lambda members: build(members.get("id"), _decode_errors(members))  # type: ignore[arg-type]


_DECODERS: Mapping[str, Callable[[Members], Frame]] = {
    "connection_init": lambda _: ConnectionInit(),
    "connection_ack": _decode_ack,
    "ka": lambda _: KeepAlive(),
    "subscribe": _decode_subscribe,
    "subscribe_success": _only_id(SubscribeSuccess),
    "subscribe_error": _id_and_errors(SubscribeError),
    "unsubscribe": _only_id(Unsubscribe),
    "unsubscribe_success": _only_id(UnsubscribeSuccess),
    "unsubscribe_error": _id_and_errors(UnsubscribeError),
    "publish": _decode_publish,
    "publish_success": _decode_publish_success,
    "publish_error": _id_and_errors(PublishError),
    "data": lambda members: Data(members.get("id"), members.get("event")),  # type: ignore[arg-type]
    "broadcast_error": _id_and_errors(BroadcastError),
    "error": _decode_operation_error,
    "connection_error": lambda members: ConnectionRefused(_decode_errors(members)),
}


def _encode_publish_success(frame: PublishSuccess) -> str:
    return _dump(
        {
            "id": frame.id,
            "type": frame.TYPE,
            "successful": [
                {"identifier": each.identifier, "index": each.index} for each in frame.successful
            ],
            "failed": [
                {
                    "code": each.code,
                    "identifier": each.identifier,
                    "index": each.index,
                    "message": each.message,
                }
                for each in frame.failed
            ],
        }
    )


def _encode_errors(errors: Errors) -> list[dict[str, Any]]:
    return [
        {
            key: value
            for key, value in (
                ("errorType", error.error_type),
                ("errorCode", error.error_code),
                ("message", error.message),
            )
            if value is not None
        }
        for error in errors
    ]


def _encode_bare(frame: ConnectionInit | KeepAlive) -> str:
    return f'{{"type":"{frame.TYPE}"}}'


def _encode_ack(frame: ConnectionAck) -> str:
    milliseconds = round(frame.connection_timeout * 1000)
    return f'{{"type":"connection_ack","connectionTimeoutMs":{milliseconds}}}'


def _encode_id(frame: SubscribeSuccess | UnsubscribeSuccess) -> str:
    return f'{{"id":"{frame.id}","type":"{frame.TYPE}"}}'


def _encode_failure(
    frame: SubscribeError | UnsubscribeError | PublishError | BroadcastError,
) -> str:
    return _dump({"id": frame.id, "type": frame.TYPE, "errors": _encode_errors(frame.errors)})


def _encode_operation_error(frame: OperationError) -> str:
    named = {} if frame.id is None else {"id": frame.id}
    return _dump({"type": frame.TYPE} | named | {"errors": _encode_errors(frame.errors)})


def _encode_subscribe(frame: Subscribe) -> str:
    return _dump(
        {
            "type": frame.TYPE,
            "id": frame.id,
            "channel": frame.channel,
            "authorization": dict(frame.authorization),
        }
    )


def _encode_publish(frame: Publish) -> str:
    return _dump(
        {
            "type": frame.TYPE,
            "id": frame.id,
            "channel": frame.channel,
            "events": frame.events,
            "authorization": dict(frame.authorization),
        }
    )


def _encode_data(frame: Data) -> str:
    return f'{{"id":"{frame.id}","type":"data","event":{encode_basestring(frame.event)}}}'


_ENCODERS: Mapping[type, Callable[[Any], str]] = {
    ConnectionInit: _encode_bare,
    ConnectionAck: _encode_ack,
    KeepAlive: _encode_bare,
    Subscribe: _encode_subscribe,
    SubscribeSuccess: _encode_id,
    SubscribeError: _encode_failure,
    Unsubscribe: lambda frame: f'{{"type":"unsubscribe","id":"{frame.id}"}}',
    UnsubscribeSuccess: _encode_id,
    UnsubscribeError: _encode_failure,
    Publish: _encode_publish,
    PublishSuccess: _encode_publish_success,
    PublishError: _encode_failure,
    Data: _encode_data,
    BroadcastError: _encode_failure,
    OperationError: _encode_operation_error,
    ConnectionRefused: lambda frame: _dump(
        {"type": frame.TYPE, "errors": _encode_errors(frame.errors)}
    ),
}
