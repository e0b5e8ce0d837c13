"""Messages of AWS's event-stream encoding, as ``InvokeWithResponseStream`` answers with them.

::

    total length │ length of headers │ CRC of these 8 bytes │ headers │ payload │ CRC of all before
         4       │         4         │          4           │

A header is the length of its name in a byte, the name, the byte 7 for a text, the length of the
value in two bytes, and the value. Smithy specification, "Amazon Event Stream".
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_TEXT = 7


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    head = b"".join(_encode_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 12 + len(head) + len(payload) + 4, len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))


def payload_chunk(piece: bytes) -> bytes:
    """A part of the function's response."""
    headers = {
        ":event-type": "PayloadChunk",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    return encode_message(headers, piece)


def invoke_complete(
    *, error_code: str = "", error_details: str = "", log_result: str = ""
) -> bytes:
    """The end of the response.

    Args:
        error_code: the type of the error that ended it, empty if none did.
        error_details: what is known of the error, JSON.
        log_result: base64 of the end of the log, if it was asked for.
    """
    members = {
        "ErrorCode": error_code,
        "ErrorDetails": error_details,
        "LogResult": log_result,
    }
    payload = json.dumps({name: value for name, value in members.items() if value})
    headers = {
        ":event-type": "InvokeComplete",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return encode_message(headers, payload.encode())


def read_messages(read: Callable[[int], bytes]) -> Iterator[tuple[dict[str, str], bytes]]:
    """The messages of a stream, headers and payload, as they come.

    Args:
        read: gives so many bytes, or fewer at the end of the stream.

    Raises:
        ValueError: the stream is not in this encoding, or ends inside a message.
    """
    while prelude := read(12):
        if len(prelude) < 12 or zlib.crc32(prelude[:8]) != int.from_bytes(prelude[8:]):
            raise ValueError("this is no event stream")
        total, head = struct.unpack(">II", prelude[:8])
        rest = read(total - 12)
        if len(rest) != total - 12 or zlib.crc32(prelude + rest[:-4]) != int.from_bytes(rest[-4:]):
            raise ValueError("the event stream ends inside a message")
        yield dict(_read_headers(rest[:head])), rest[head:-4]


def _read_headers(data: bytes) -> Iterator[tuple[str, str]]:
    """Headers that are texts, which all of Lambda's are."""
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        kind, length = struct.unpack_from(">BH", data, name_end)
        if kind != _TEXT:
            raise ValueError(f"a header of kind {kind} is none of Lambda's")
        end = name_end + 3 + length
        yield data[at + 1 : name_end].decode(), data[name_end + 3 : end].decode()
        at = end


def _encode_header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _TEXT, len(text)) + text
