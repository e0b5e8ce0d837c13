"""The credentials of an upgrade, carried in the list of WebSocket subprotocols.

A browser cannot set headers on an upgrade, so the authorization object travels as a second offered
protocol::

    Sec-WebSocket-Protocol: aws-appsync-event-ws, header-<base64url of the JSON object, no padding>

Exactly ``aws-appsync-event-ws`` is selected in the answer. Swift and Android offer only that and
put the credentials into ordinary headers (AWS AppSync Events developer guide,
event-api-websocket-protocol; observed with aws-appsync-events-swift).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, overload

from event_protocol.errors import RemoteProtocolError

SUBPROTOCOL: Final = "aws-appsync-event-ws"
TOKEN_PREFIX: Final = "header-"
TOKEN_LENGTH: Final = 64 * 1024
"""Characters of a token that are looked at; a signed session token takes about 3,000. Ours."""

REDACTED: Final = "…"

_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "origin",
        "sec-websocket-extensions",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-user-agent",
        "x-amzn-requestid",
    }
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client offered on its upgrade.

    Attributes:
        wants_events: whether :data:`SUBPROTOCOL` is among the offers.
        authorization: the credentials of the ``header-`` token, names and values as sent; None
            where there is no token and the credentials must be sought in the HTTP headers.
    """

    wants_events: bool
    authorization: dict[str, str] | None = field(repr=False)


def encode_header(authorization: Mapping[str, str]) -> str:
    """The credentials as one offered protocol, ``header-`` and base64url without padding."""
    text = json.dumps(dict(authorization), separators=(",", ":"))
    return TOKEN_PREFIX + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def offer(authorization: Mapping[str, str]) -> list[str]:
    """The subprotocols that a client offers, in the order of Amplify and SST."""
    return [SUBPROTOCOL, encode_header(authorization)]


def read_offer(protocols: Iterable[str]) -> Offer:
    """Reads the offered protocols of an upgrade.

    Args:
        protocols: the values of the ``Sec-WebSocket-Protocol`` headers, in any order, each one
            protocol or several between commas.

    Raises:
        RemoteProtocolError: the ``header-`` token is not a JSON object of strings, or there are
            two. Answer it with a ``connection_error`` after the 101, as AWS does.
    """
    names = [name for value in protocols for name in (part.strip() for part in value.split(","))]
    tokens = [name for name in names if name.startswith(TOKEN_PREFIX)]
    if len(tokens) > 1:
        raise RemoteProtocolError("more than one header- subprotocol was offered")
    return Offer(
        wants_events=SUBPROTOCOL in names,
        authorization=_decode_token(tokens[0]) if tokens else None,
    )


def _decode_token(token: str) -> dict[str, str]:
    """Tolerates padding, the ordinary alphabet, and whitespace around the JSON text.

    AWS's own shell sample pipes ``echo`` into ``base64``, so a newline comes with it.
    """
    encoded = token.removeprefix(TOKEN_PREFIX).rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    if len(encoded) > TOKEN_LENGTH:
        raise RemoteProtocolError("the header- subprotocol is too long")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        value = json.loads(raw.decode())
    except (binascii.Error, ValueError, RecursionError):  # unchained: it repeats the credentials
        raise RemoteProtocolError("the header- subprotocol is not base64url JSON") from None
    if not isinstance(value, dict) or not all(map(_is_text, value.values())):
        raise RemoteProtocolError("the header- subprotocol is not a JSON object of strings")
    if not all(map(_is_text, value)):
        raise RemoteProtocolError("the header- subprotocol holds an unpaired surrogate")
    return value


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_SECRETS = re.compile(
    r"""
      (?P<token> \bheader-[A-Za-z0-9+/_=-]+ )
    | (?P<object> "authorization"\s*:\s*\{ ) (?: [^{}"] | "(?:[^"\\]|\\.)*"? )* (?P<end> \}? )
    | (?P<member> (?P<quote>["'])(?:x-api-key|authorization|x-amz-security-token|cookie
        |aws_secret_access_key|aws_session_token|secretaccesskey|sessiontoken)(?P=quote)
        \s*:\s*(?P<opening>["']) ) (?: (?!(?P=opening))[^\\] | \\. )*
    | (?P<header> \b(?:x-api-key|authorization|x-amz-security-token|cookie)\s*:\s* ) [^\r\n"]+
    | (?P<signature> \bAWS4-HMAC-SHA256\b ) [^\r\n"]*
    | (?P<key> \bda2-[a-z0-9]+ )
    | (?P<access> \b(?:AKIA|ASIA)[A-Z0-9]{16}\b )
    | (?P<jwt> \beyJ[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]* )
    """,
    re.IGNORECASE | re.VERBOSE,
)


@overload
def redact(value: Mapping[str, str]) -> dict[str, str]: ...
@overload
def redact(value: str) -> str: ...
def redact(value: Mapping[str, str] | str) -> dict[str, str] | str:
    """The same without its secrets, fit for a log.

    Of a mapping (an authorization object, HTTP headers) only values under names known to be
    harmless are kept. In a text (a frame, a header line, a list of subprotocols) credentials are
    recognized by name or by form; events and packets are not looked into, so do not log them.
    """
    if isinstance(value, str):
        return _SECRETS.sub(_replace_secret, value)
    return {name: kept if name.lower() in _HARMLESS else REDACTED for name, kept in value.items()}


def _replace_secret(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "token":
        return TOKEN_PREFIX + REDACTED
    if kind == "end":
        return match["object"] + REDACTED + match["end"]
    if kind in {"member", "header"}:
        return match[kind] + REDACTED
    return REDACTED
