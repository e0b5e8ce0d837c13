"""What a publish is checked for, whichever door it came through.

The order is AWS's: channel and namespace, authorization, number of events, each event, broadcast.
A publisher's event text is looked at but never decoded into objects or written anew, so it reaches
every subscriber byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from event_protocol.channels import Channel, ChannelPattern
from event_protocol.errors import ChannelError, RemoteProtocolError
from event_protocol.limits import Limits
from relay.errors import Refusal
from relay.namespaces import Api, ChannelNamespace

TOO_LARGE_CODE = "EventTooLargeException"
TOO_LARGE_MESSAGE = "Transformed event is larger than 240KB"  # observed with auvred's e2e tests

NewIdentifier = Callable[[], str]

_read_pattern = lru_cache(1024)(ChannelPattern.parse)  # most subscribers ask for the same
_decode_text = msgspec.json.Decoder(str).decode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode  # reads everything, builds nothing


# The events of one publish after all checks: for each that is broadcast what follows the
# subscription id in its frame, their bytes together, and the positions of those too large. A plain
# tuple, because making anything better takes as long as reading the frame.
Accepted = tuple[list[bytes], int, tuple[int, ...]]


def find_target(api: Api, channel: str) -> tuple[Channel, ChannelNamespace]:
    """The channel that a publisher wrote, and its namespace.

    Raises:
        Refusal: no channel is written so (a wildcard is none), or nobody created the namespace:
            that one reads as an authorization error without a message (observed with Android).
    """
    try:
        parsed = Channel.parse(channel)
    except ChannelError as error:
        raise Refusal("BadRequestException", explain(error)) from error
    namespace = api.namespace(parsed.namespace)
    if namespace is None:
        raise Refusal("UnauthorizedException", status=401)
    return parsed, namespace


def parse_pattern(text: str) -> ChannelPattern:
    """What a subscription asks for.

    Raises:
        Refusal: no pattern is written so; a bare ``*`` names no namespace and is none.
    """
    try:
        return _read_pattern(text)
    except ChannelError as error:
        raise Refusal("BadRequestException", explain(error)) from error


def accept_events(events: Sequence[msgspec.Raw], limits: Limits) -> Accepted:
    """Checks each event and makes it ready for the wire.

    Args:
        events: JSON strings as they stand in the request, quotes included; at least one.
        limits: what is allowed.

    Raises:
        Refusal: an event is not a string, or its text is not JSON.
    """
    tails: list[bytes] = []
    size = 0
    too_large: tuple[int, ...] = ()
    for raw in events:
        try:
            text = _decode_text(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Refusal("BadRequestException", "Each event must be a string.") from None
        tail = b"".join((raw, b"}"))
        if len(tail) > limits.event_bytes and len(text.encode()) > limits.event_bytes:
            too_large += (len(tails) + len(too_large),)
            continue
        try:
            _check_json(text)
        except (msgspec.MsgspecError, RecursionError):
            if not _is_json_after_all(text):
                index = len(tails) + len(too_large)
                message = f"The event at index {index} is not valid JSON."
                raise Refusal("BadRequestException", message) from None
        tails.append(tail)
        size += len(tail)
    return tails, size, too_large


def encode_outcome(
    count: int, too_large: Sequence[int], new_identifier: NewIdentifier
) -> tuple[str, str]:
    """The lists ``successful`` and ``failed`` as JSON text, for either transport."""
    if not too_large:
        if count == 1:
            return f'[{{"identifier":"{new_identifier()}","index":0}}]', "[]"
        accepted = ",".join(
            f'{{"identifier":"{new_identifier()}","index":{index}}}' for index in range(count)
        )
        return f"[{accepted}]", "[]"
    return (
        _dump(
            [
                {"identifier": new_identifier(), "index": index}
                for index in range(count)
                if index not in too_large
            ]
        ),
        _dump(
            [
                {
                    "code": TOO_LARGE_CODE,  # this order: auvred/aws-appsync-events saw it on AWS
                    "identifier": new_identifier(),
                    "index": index,
                    "message": TOO_LARGE_MESSAGE,
                }
                for index in too_large
            ]
        ),
    )


def _is_json_after_all(text: str) -> bool:
    """Whether JavaScript would take it: half a surrogate pair may be written as an escape."""
    if "\\u" not in text:
        return False
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(_: str) -> None:
    raise ValueError


def explain(error: RemoteProtocolError) -> str:
    """What a client reads about something it wrote; AWS's own sentences stay as they are."""
    text = str(error)
    return text if text[:1].isupper() else f"{text[:1].upper()}{text[1:]}."


_dump = json.JSONEncoder(separators=(",", ":")).encode
