"""Signature version 4 as arithmetic: what is hashed, in which form, and with which key.

Pure functions, no clock and no configuration. The shape of a canonical request is that of the AWS
General Reference ("Create a signed AWS API request"); what AppSync clients put into it was observed
with aws-amplify 4.10, aws-sdk-go-v2 and botocore.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

from relay.auth.base import AccessRequest, Operation

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "appsync"

_SPACES = re.compile(r"\s+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# What Go's encoding/json escapes inside strings although JSON does not ask for it.
_GO_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def canonical_query(raw_query: str) -> str:
    """The query string in canonical form: decoded, encoded again, sorted by name and value."""
    pairs = (part.partition("=") for part in raw_query.split("&") if part)
    encoded = sorted((_encode_once(name), _encode_once(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def canonical_path(raw_path: str) -> str:
    """The path as every service but S3 signs it: the encoded path, encoded once more.

    ``/v1/tags/arn%3Aaws`` becomes ``/v1/tags/arn%253Aaws``. Dot segments are resolved first.
    """
    kept: list[str] = []
    for segment in raw_path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    path = "/" + "/".join(kept)
    if kept and raw_path.endswith("/"):
        path += "/"
    return quote(path, safe="/~-_.", errors="replace")


def canonical_request(
    path: str,
    *,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    method: str = "POST",
    query: str = "",
) -> str:
    """The canonical request over the headers that the client signed, in the client's order.

    Args:
        path: the path in canonical form.
        headers: name in lower case and value, one for each signed header.
        body: what is hashed.
        method: the HTTP method.
        query: the query string in canonical form.
    """
    lines = [f"{name}:{_SPACES.sub(' ', value.strip())}" for name, value in headers]
    names = ";".join(name for name, _ in headers)
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join([method, path, query, *lines, "", names, digest])


def string_to_sign(canonical: str, *, timestamp: str, scope: str) -> str:
    """The text that is signed: algorithm, time, scope and the digest of the canonical request."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    return "\n".join([ALGORITHM, timestamp, scope, digest])


def signing_key(secret: str, *, date: str, region: str, service: str = SERVICE) -> bytes:
    """The key of one day, region and service, derived from a secret access key."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8", "surrogatepass"), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """The signature in lower-case hexadecimal."""
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()


def candidate_bodies(request: AccessRequest) -> Iterator[bytes]:
    """The bodies that the client may have signed, most likely first.

    Over HTTP it is the request's own body. On a WebSocket the signed body never travels: it is
    rebuilt from the channel and the events exactly as they were received, as JavaScript writes it,
    as Go writes it (``<``, ``>`` and ``&`` escaped), and with either member first (Swift's encoder
    keeps no order).
    """
    if request.body is not None:
        yield request.body
        return
    if request.operation is Operation.CONNECT or request.raw_channel is None:
        yield b"{}"
        return
    members = ['"channel":' + _as_json(request.raw_channel)]
    if request.raw_events is not None:
        members.append('"events":[' + ",".join(map(_as_json, request.raw_events)) + "]")
    seen: set[str] = set()
    for order in (members, members[::-1]):
        plain = "{" + ",".join(order) + "}"
        for text in (plain, plain.translate(_GO_ESCAPES)):
            if text not in seen:
                seen.add(text)
                yield text.encode()


def signed_headers(
    names: Sequence[str], *, request: AccessRequest, body: bytes
) -> list[tuple[str, str]]:
    """The value of each signed header, as far as the server can know it.

    A value comes from the authorization object or, where a client sent its credentials as plain
    HTTP headers, from the request. ``content-length`` is signed by Go's signer but does not travel
    in the object, so it is computed; a missing ``host`` is the API's own. A header that is nowhere
    counts as empty, which then shows in the canonical request.
    """
    found: list[tuple[str, str]] = []
    for name in names:
        if name == "content-length":
            value: str | None = str(len(body))
        else:
            value = _lookup(name, request.credentials, request.headers)
        if value is None:
            value = request.host if name == "host" else ""
        found.append((name, value))
    return found


def _lookup(name: str, *places: Mapping[str, str]) -> str | None:
    for place in places:
        if (value := place.get(name)) is not None:
            return value
    return None


def _as_json(text: str) -> str:
    """A JSON string as JavaScript writes it: escaped is what must be, and lone surrogates."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _encode_once(text: str) -> str:
    return quote(unquote(text, errors="replace"), safe="~-_.", errors="replace")
