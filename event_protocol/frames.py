"""One frozen dataclass per message on the wire; an illegal one cannot be built.

Channels and events are kept exactly as they were sent: a signature covers them letter by letter,
so they are parsed where they are used (``channels.py``) and never normalized here. Credentials do
not show in ``repr``. Shapes: AWS AppSync Events developer guide, event-api-websocket-protocol, and
where that page is silent or wrong, what unmodified clients accept (``data.event`` is a string).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, TypeGuard

from event_protocol.errors import LocalProtocolError
from event_protocol.limits import ID_LENGTH

_is_id = re.compile(rf"[A-Za-z0-9_+-]{{1,{ID_LENGTH}}}").fullmatch


def is_id(value: object) -> TypeGuard[str]:
    """Whether this can be an operation's id: 1 to 128 characters from ``[A-Za-z0-9_+-]``."""
    return isinstance(value, str) and _is_id(value) is not None


@dataclass(frozen=True, slots=True)
class WireError:
    """One entry of an ``errors`` list.

    Attributes:
        error_type: AWS's name; clients match it exactly.
        message: a sentence; None where AWS sends none (``UnauthorizedException`` on an unknown
            namespace).
        error_code: a number in the HTTP manner, seen only in ``connection_error``.
    """

    error_type: str
    message: str | None = None
    error_code: int | None = None

    def __post_init__(self) -> None:
        _check_text("errorType", self.error_type)
        if not self.error_type:
            raise LocalProtocolError("errorType must not be empty")
        if self.message is not None:
            _check_text("message", self.message)


Errors: TypeAlias = tuple[WireError, ...]


@dataclass(frozen=True, slots=True)
class ConnectionInit:
    """Client: asks for an ack. Optional; some clients never send it."""

    TYPE: ClassVar[str] = "connection_init"


@dataclass(frozen=True, slots=True)
class ConnectionAck:
    """Server: answers ``connection_init``.

    Attributes:
        connection_timeout: seconds of silence after which the client gives up; on the wire
            milliseconds, a top-level number.
    """

    connection_timeout: float
    TYPE: ClassVar[str] = "connection_ack"

    def __post_init__(self) -> None:
        if not (self.connection_timeout > 0 and math.isfinite(self.connection_timeout)):
            raise LocalProtocolError("connection_timeout must be a positive number of seconds")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Server: still here. One Go client sends it too (boundlessdigital's), which is tolerated."""

    TYPE: ClassVar[str] = "ka"


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Client: wants the events of a channel or of a pattern, under an id of its own choice."""

    id: str
    channel: str
    authorization: Mapping[str, str] = field(default_factory=dict, repr=False)
    TYPE: ClassVar[str] = "subscribe"

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_text("channel", self.channel)
        _check_authorization(self.authorization)


@dataclass(frozen=True, slots=True)
class SubscribeSuccess:
    """Server: the subscription is accepted. It may still take a moment until it is live."""

    id: str
    TYPE: ClassVar[str] = "subscribe_success"

    def __post_init__(self) -> None:
        _check_id(self.id)


@dataclass(frozen=True, slots=True)
class SubscribeError:
    """Server: the subscription is refused; a live one with the same id survives."""

    id: str
    errors: Errors
    TYPE: ClassVar[str] = "subscribe_error"

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_errors(self.errors)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Client: ends the subscription with this id. Carries no credentials."""

    id: str
    TYPE: ClassVar[str] = "unsubscribe"

    def __post_init__(self) -> None:
        _check_id(self.id)


@dataclass(frozen=True, slots=True)
class UnsubscribeSuccess:
    """Server: the subscription is over; its id may be used again."""

    id: str
    TYPE: ClassVar[str] = "unsubscribe_success"

    def __post_init__(self) -> None:
        _check_id(self.id)


@dataclass(frozen=True, slots=True)
class UnsubscribeError:
    """Server: there is no such subscription."""

    id: str
    errors: Errors
    TYPE: ClassVar[str] = "unsubscribe_error"

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_errors(self.errors)


@dataclass(frozen=True, slots=True)
class Publish:
    """Client: one to five events for one channel, each the text of a JSON value.

    How many events are too many, and whether each is JSON, is the service's to say: over HTTP it
    answers the same mistakes in other words.
    """

    id: str
    channel: str
    events: tuple[str, ...]
    authorization: Mapping[str, str] = field(default_factory=dict, repr=False)
    TYPE: ClassVar[str] = "publish"

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_text("channel", self.channel)
        if not self.events:
            raise LocalProtocolError("events must hold at least one event")
        for event in self.events:
            _check_text("each event", event)
        _check_authorization(self.authorization)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One published event that was taken: its new identifier, and its place in the request."""

    identifier: str
    index: int

    def __post_init__(self) -> None:
        _check_text("identifier", self.identifier)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One event that was not taken; ``code`` is such as ``EventTooLargeException``."""

    identifier: str
    index: int
    code: str
    message: str

    def __post_init__(self) -> None:
        _check_text("identifier", self.identifier)
        _check_text("code", self.code)
        _check_text("message", self.message)


@dataclass(frozen=True, slots=True)
class PublishSuccess:
    """Server: the publish was processed; events may still have been rejected one by one."""

    id: str
    successful: tuple[Accepted, ...]
    failed: tuple[Rejected, ...] = ()
    TYPE: ClassVar[str] = "publish_success"

    def __post_init__(self) -> None:
        _check_id(self.id)


@dataclass(frozen=True, slots=True)
class PublishError:
    """Server: nothing was published. Send exactly one error: a Rust client requires it."""

    id: str
    errors: Errors
    TYPE: ClassVar[str] = "publish_error"

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_errors(self.errors)


@dataclass(frozen=True, slots=True)
class Data:
    """Server: one event for one subscription.

    Attributes:
        id: the subscription's.
        event: the event's JSON text, a string on the wire and never empty: a Go client panics at
            an array, and Amplify drops what is falsy.
    """

    id: str
    event: str
    TYPE: ClassVar[str] = "data"

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_text("event", self.event)
        if not self.event:
            raise LocalProtocolError("event must not be empty")


@dataclass(frozen=True, slots=True)
class BroadcastError:
    """Server: an event for this subscription could not be processed."""

    id: str
    errors: Errors
    TYPE: ClassVar[str] = "broadcast_error"

    def __post_init__(self) -> None:
        _check_id(self.id)
        _check_errors(self.errors)


@dataclass(frozen=True, slots=True)
class OperationError:
    """Server: a failure that belongs to no typed answer. A known id fails what waits under it."""

    errors: Errors
    id: str | None = None
    TYPE: ClassVar[str] = "error"

    def __post_init__(self) -> None:
        if self.id is not None:
            _check_id(self.id)
        _check_errors(self.errors)


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """Server: the connection is not allowed. Comes after a successful upgrade, before the close."""

    errors: Errors
    TYPE: ClassVar[str] = "connection_error"

    def __post_init__(self) -> None:
        _check_errors(self.errors)


ClientFrame: TypeAlias = ConnectionInit | KeepAlive | Subscribe | Unsubscribe | Publish
ServerFrame: TypeAlias = (
    ConnectionAck
    | KeepAlive
    | SubscribeSuccess
    | SubscribeError
    | UnsubscribeSuccess
    | UnsubscribeError
    | PublishSuccess
    | PublishError
    | Data
    | BroadcastError
    | OperationError
    | ConnectionRefused
)
Frame: TypeAlias = ClientFrame | ServerFrame


def _check_id(value: object) -> None:
    if not is_id(value):
        raise LocalProtocolError("id must be 1 to 128 characters from [A-Za-z0-9_+-]")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise LocalProtocolError(f"{name} must be a string")
    if not value.isascii():  # constant time; only other text can hold half a surrogate pair
        try:
            value.encode()
        except UnicodeEncodeError:  # not chained: it would carry the text, perhaps a credential
            raise LocalProtocolError(f"{name} holds an unpaired surrogate") from None


def _check_authorization(authorization: Mapping[str, str]) -> None:
    for name, value in authorization.items():
        _check_text("a name in authorization", name)
        _check_text("a value in authorization", value)


def _check_errors(errors: Errors) -> None:
    if not errors:
        raise LocalProtocolError("errors must not be empty")
