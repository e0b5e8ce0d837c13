"""Frames of AppSync's GraphQL subscriptions: another language than Events, so another codec.

Here errors and the ack's number are inside ``payload`` (AWS AppSync developer guide,
real-time-websocket-client). Client frames are read leniently: members that are unknown are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SUBPROTOCOL: Final = "graphql-ws"
ID_LENGTH: Final = 128  # characters; as in Events, the GraphQL pages name no number

KEEP_ALIVE: Final = '{"type":"ka"}'


class FrameIllegal(Exception):
    """A client's frame cannot be understood.

    Attributes:
        frame_id: its id, if that much could be read.
        error_type: AWS's name of the error.
    """

    def __init__(
        self, message: str, *, frame_id: str | None = None, error_type: str = "BadRequestException"
    ) -> None:
        super().__init__(message)
        self.frame_id = frame_id
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class ConnectionInit:
    """The client wants to begin."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The client is there."""


@dataclass(frozen=True, slots=True)
class Start:
    """The client wants to subscribe.

    Attributes:
        id: its name of the subscription.
        data: the JSON text of the request, exactly as sent: that is what a signature covers.
        authorization: the credentials of the operation, names as sent.
    """

    id: str
    data: str
    authorization: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stop:
    """The client has had enough of a subscription."""

    id: str


ClientFrame = ConnectionInit | KeepAlive | Start | Stop


def decode(text: str) -> ClientFrame:
    """Reads a client's frame.

    Raises:
        FrameIllegal: it is none.
    """
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameIllegal("The frame is not JSON.") from None
    if not isinstance(frame, dict):
        raise FrameIllegal("The frame is not a JSON object.")
    frame_id = frame.get("id")
    known_id = frame_id if _is_id(frame_id) else None
    match frame.get("type"):
        case "connection_init":
            return ConnectionInit()
        case "ka":
            return KeepAlive()
        case "start":
            return _read_start(frame, known_id)
        case "stop" if known_id is not None:
            return Stop(known_id)
        case "stop":
            raise FrameIllegal("A stop needs an id.")
        case _:
            message = "Operation not supported through the realtime channel."
            raise FrameIllegal(message, frame_id=known_id, error_type="UnsupportedOperation")


def encode_ack(connection_timeout: float) -> str:
    """``connection_ack``; seconds become milliseconds."""
    milliseconds = round(connection_timeout * 1000)
    return _dump({"type": "connection_ack", "payload": {"connectionTimeoutMs": milliseconds}})


def encode_start_ack(frame_id: str) -> str:
    """``start_ack``: the subscription is there."""
    return _dump({"id": frame_id, "type": "start_ack"})


def encode_complete(frame_id: str) -> str:
    """``complete``: the answer to a stop."""
    return _dump({"id": frame_id, "type": "complete"})


def encode_error(frame_id: str | None, error_type: str, message: str | None) -> str:
    """``error``: of one operation, or of the connection where there is no id."""
    head = {} if frame_id is None else {"id": frame_id}
    return _dump({**head, "type": "error", "payload": {"errors": [_error(error_type, message)]}})


def encode_refusal(error_type: str, message: str | None, code: int) -> str:
    """``connection_error``: the connection was refused."""
    error = {**_error(error_type, message), "errorCode": code}
    return _dump({"payload": {"errors": [error]}, "type": "connection_error"})


def data_prefix(frame_id: str) -> bytes:
    """What every ``data`` frame of a subscription starts with, up to its payload."""
    return f'{{"id":{json.dumps(frame_id)},"type":"data","payload":'.encode()


def data_tail(payload: object) -> bytes:
    """The rest of a ``data`` frame behind the prefix."""
    return _dump(payload).encode() + b"}"


def _read_start(frame: Mapping[str, object], frame_id: str | None) -> Start:
    if frame_id is None:
        raise FrameIllegal(f"A start needs an id of 1 to {ID_LENGTH} characters.")
    payload = frame.get("payload")
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(data, str):
        raise FrameIllegal("A start needs the string payload.data.", frame_id=frame_id)
    extensions = payload.get("extensions") if isinstance(payload, dict) else None
    authorization = extensions.get("authorization") if isinstance(extensions, dict) else None
    return Start(
        frame_id,
        data,
        {
            name: value
            for name, value in (authorization if isinstance(authorization, dict) else {}).items()
            if isinstance(value, str)
        },
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ID_LENGTH


def _error(error_type: str, message: str | None) -> dict[str, str]:
    return {"errorType": error_type} | ({} if message is None else {"message": message})


_dump = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so lone surrogates can travel
