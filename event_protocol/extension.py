"""What our own messages contain: codes 100 to 105, and who may be sent them.

::

    guest ── INIT with features ──▶ developer ── HELLO ──▶ guest        what both named is agreed
    guest ── PROBE ──▶ guest                                           is my subscription live?
    guest ── NEXT ──▶ developer ── ACCEPTED, BEAT, BEAT … RESPONSE ──▶ guest
    guest ── CANCEL or REPORT ──▶ developer

SST's own side names no feature and is sent none of them; a PROBE is read by nobody but its sender.
Each body is JSON. Moments are milliseconds since 1970 on the sender's clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from event_protocol.errors import RemoteProtocolError
from event_protocol.phases import MARK as RECORD_MARK
from event_protocol.phases import InvocationRecord, decode_record


class Feature(StrEnum):
    """What a side can do beyond SST Live, as it stands in INIT and HELLO."""

    ACCEPTED = "accepted"  # the developer's side says which request it has taken
    BEAT = "beat"  # … and, while a handler runs, that it is still there
    CANCEL = "cancel"  # … and stops a handler whose request is answered by somebody else
    REPORT = "report"  # … and takes what the guest has measured
    REPEAT = "repeat"  # … and answers a request that it has seen once more, without running it


FEATURES: Final = tuple(Feature)
"""What this version of either side can do."""

EXTENSION_VERSION: Final = 1

KEPT_HEADER: Final = "natless-kept"
"""In a NEXT that a guest had kept for a while: seconds since 1970 at which it did. With the request
id it names the event, whose deadline is another each time."""


@dataclass(frozen=True, slots=True)
class Hello:
    """HELLO: the developer's side answers an INIT that announced features.

    Attributes:
        features: what both sides can do.
        instance: which developer's side this is; two of them on one stage differ here.
        now: seconds since 1970 on its clock.
    """

    features: frozenset[str]
    instance: str = ""
    now: float = 0.0

    def encode(self) -> bytes:
        """As it is sent."""
        return _dump(
            {
                "v": EXTENSION_VERSION,
                "features": sorted(self.features),
                "instance": self.instance,
                "now": _ms(self.now),
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """Raises ``RemoteProtocolError`` for what is none."""
        raw = _load(body)
        features = raw.get("features")
        if not isinstance(features, list):
            raise RemoteProtocolError("the message is not a HELLO")
        return cls(
            frozenset(each for each in features if isinstance(each, str)),
            _text(raw, "instance")[:64],
            _seconds(raw, "now"),
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """PROBE: a guest to its own channel.

    Attributes:
        token: tells one probe from another.
        sent: seconds since 1970.
    """

    token: str
    sent: float

    def encode(self) -> bytes:
        """As it is sent."""
        return _dump({"n": self.token, "t": _ms(self.sent)})

    @classmethod
    def decode(cls, body: bytes) -> Probe:
        """Raises ``RemoteProtocolError`` for what is none."""
        raw = _load(body)
        return cls(_text(raw, "n"), _seconds(raw, "t"))


@dataclass(frozen=True, slots=True)
class Accepted:
    """ACCEPTED: this request is in the developer's hands.

    Attributes:
        request_id: which.
        at: seconds since 1970.
    """

    request_id: str
    at: float = 0.0

    def encode(self) -> bytes:
        """As it is sent."""
        return _dump({"requestId": self.request_id, "t": _ms(self.at)})

    @classmethod
    def decode(cls, body: bytes) -> Accepted:
        """Raises ``RemoteProtocolError`` for what is none."""
        raw = _load(body)
        return cls(_text(raw, "requestId"), _seconds(raw, "t"))


@dataclass(frozen=True, slots=True)
class Beat:
    """BEAT: the developer's side is still at work on this request.

    Attributes:
        request_id: which.
        at: seconds since 1970.
        is_debugging: a debugger is attached to the handler, which may stand for as long as its
            developer thinks.
    """

    request_id: str
    at: float = 0.0
    is_debugging: bool = False

    def encode(self) -> bytes:
        """As it is sent."""
        body: dict[str, Any] = {"requestId": self.request_id, "t": _ms(self.at)}
        if self.is_debugging:
            body["debugging"] = True
        return _dump(body)

    @classmethod
    def decode(cls, body: bytes) -> Beat:
        """Raises ``RemoteProtocolError`` for what is none."""
        raw = _load(body)
        is_debugging = raw.get("debugging") is True
        return cls(_text(raw, "requestId"), _seconds(raw, "t"), is_debugging)


@dataclass(frozen=True, slots=True)
class Cancel:
    """CANCEL: nobody waits for the answer of this request any more.

    Attributes:
        request_id: which.
        reason: why, in a few words.
    """

    request_id: str
    reason: str = ""

    def encode(self) -> bytes:
        """As it is sent."""
        return _dump({"requestId": self.request_id, "reason": self.reason})

    @classmethod
    def decode(cls, body: bytes) -> Cancel:
        """Raises ``RemoteProtocolError`` for what is none."""
        raw = _load(body)
        return cls(_text(raw, "requestId"), _text(raw, "reason")[:200])


def encode_report(line: str) -> bytes:
    """REPORT: what the guest has measured of one invocation, from its line in the log."""
    return line.removeprefix(RECORD_MARK).encode()


def decode_report(body: bytes) -> InvocationRecord:
    """The record in a REPORT.

    Raises:
        RemoteProtocolError: there is none.
    """
    try:
        record = decode_record(RECORD_MARK + body.decode())
    except ValueError:
        record = None
    if record is None:
        raise RemoteProtocolError("the message is not a REPORT")
    return record


def _dump(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _load(body: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise RemoteProtocolError("the message is not an object")
    return raw


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name, "")
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{name} is no text")
    return value


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _seconds(raw: Mapping[str, Any], name: str) -> float:
    value = raw.get(name, 0)
    if type(value) is not int or not 0 <= value < 10**15:
        raise RemoteProtocolError(f"{name} is no moment")
    return value / 1000
