"""Signs recorded operations anew, by the list of headers that the client had signed.

Written from AWS's description of Signature Version 4, apart from the relay's own verification, so
that one mistake cannot hide another.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True)
class Operation:
    """What a signature covers.

    Attributes:
        method: of the request that was signed.
        path: of the request, as sent.
        query: without the question mark, as sent.
        headers: names in lower case.
        body: the signed text.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str


def find_signed(line: Mapping[str, Any]) -> Operation | None:
    """What the signature in a client's line covers, None where there is none.

    Args:
        line: of a transcript, with its tokens open.
    """
    if "text" in line:
        return _in_frame(line["text"]) if "Signature=" in line["text"] else None
    if "request" not in line:
        return None
    headers = dict(header.split(": ", 1) for header in line["headers"])
    for text in (line["request"], headers.get("sec-websocket-protocol", "")):
        if (found := re.search(r"base64\((.*)\)", text, re.DOTALL)) and "Signature=" in found[1]:
            path = "/graphql/connect" if "?header=" in text else "/event"
            return Operation("POST", path, "", json.loads(found[1]), "{}")
    if "Signature=" in headers.get("authorization", ""):
        method, target, _ = line["request"].split(" ")
        path, _, query = target.partition("?")
        return Operation(method, path, query, headers, line.get("body", ""))
    return None


def _in_frame(text: str) -> Operation:
    frame = json.loads(text)
    if frame["type"] == "start":
        payload = frame["payload"]
        authorization = payload["extensions"]["authorization"]
        return Operation("POST", "/graphql", "", authorization, payload["data"])
    members = {name: frame[name] for name in ("channel", "events") if name in frame}
    body = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
    return Operation("POST", "/event", "", frame["authorization"], body)


def sign(operation: Operation, *, secret: str) -> tuple[str, str]:
    """The signature and the body's hash, both in hexadecimal."""
    headers = {name.lower(): str(value) for name, value in operation.headers.items()}
    authorization = headers["authorization"]
    found = re.search(r"Credential=([^,]+), ?SignedHeaders=([^,]+)", authorization)
    assert found, authorization
    _, _, scope = found[1].partition("/")
    body_hash = hashlib.sha256(operation.body.encode()).hexdigest()
    headers |= {
        "content-length": str(len(operation.body.encode())),
        "x-amz-content-sha256": body_hash,
    }
    canonical = "\n".join(
        [
            operation.method,
            quote(operation.path, safe="/~"),
            _canonical_query(operation.query),
            *(f"{name}:{' '.join(headers[name].split())}" for name in found[2].split(";")),
            "",
            found[2],
            body_hash,
        ]
    )
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    return hmac.digest(key, to_sign.encode(), "sha256").hex(), body_hash


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return "&".join(
        sorted(f"{quote(unquote(k), safe='~')}={quote(unquote(v), safe='~')}" for k, _, v in pairs)
    )
