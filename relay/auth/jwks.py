"""The public keys of a token issuer, and where they come from.

JSON Web Key sets (RFC 7517) for the algorithms that AWS lists for OpenID Connect: RS, PS, HS and ES
with 256, 384 or 512 bits (AWS AppSync Events developer guide, configure-event-api-auth).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, rsa

logger = logging.getLogger(__name__)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | bytes

MAX_KEYS = 100
KEYS_LIVE = 3600.0  # seconds until a fetched set is fetched again
KEYS_RETRY = 10.0  # seconds between two fetches for a key id that was not in the set

CURVES: Mapping[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}


class KeysInvalid(ValueError):
    """A key set cannot be read, and why."""


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had now; the text says why."""


@dataclass(frozen=True, slots=True, repr=False)
class Jwk:
    """One key.

    Attributes:
        kid: the issuer's name of the key, None if it has none.
        algorithm: the only algorithm it may be used with, None if the issuer does not say.
        key: an RSA or elliptic curve public key, or the bytes of a shared secret.
    """

    kid: str | None
    algorithm: str | None
    key: PublicKey

    def __repr__(self) -> str:
        return f"Jwk(kid={self.kid!r}, algorithm={self.algorithm!r})"


class KeySource(Protocol):
    """Where an authorizer gets an issuer's keys."""

    async def find(self, kid: str | None) -> Sequence[Jwk]:
        """The keys of that id, or all keys if the token names none.

        Raises:
            KeysUnavailable: the set cannot be had.
        """


Get = Callable[[str], Awaitable[bytes]]


def parse_jwks(document: Mapping[str, Any] | str | bytes) -> tuple[Jwk, ...]:
    """Reads a key set; keys for encryption and of unknown kinds are left out.

    Raises:
        KeysInvalid: it is not a key set, or a key of a known kind is malformed.
    """
    keys = _object(document).get("keys")
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise KeysInvalid(f"A key set is an object with a list of at most {MAX_KEYS} keys.")
    found: list[Jwk] = []
    for member in keys:
        if not isinstance(member, Mapping):
            raise KeysInvalid("A key must be an object.")
        if member.get("use", "sig") != "sig":
            continue
        key = _public_key(member)
        if key is not None:
            kid, algorithm = member.get("kid"), member.get("alg")
            found.append(
                Jwk(
                    kid if isinstance(kid, str) else None,
                    algorithm if isinstance(algorithm, str) else None,
                    key,
                )
            )
    return tuple(found)


class FixedKeys:
    """A key set that is written in the configuration or comes from the embedded issuer."""

    def __init__(self, document: Mapping[str, Any] | str | bytes) -> None:
        self._keys = parse_jwks(document)

    async def find(self, kid: str | None) -> Sequence[Jwk]:
        """The keys of that id (see :class:`KeySource`)."""
        return _select(self._keys, kid)


class FileKeys:
    """A key set in a file, which is read again whenever the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, int], tuple[Jwk, ...]] | None = None

    async def find(self, kid: str | None) -> Sequence[Jwk]:
        """The keys of that id (see :class:`KeySource`)."""
        try:
            return _select(await asyncio.to_thread(self._load), kid)
        except (OSError, KeysInvalid) as error:
            raise KeysUnavailable(f"{self._path}: {error}") from error

    def _load(self) -> tuple[Jwk, ...]:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, parse_jwks(self._path.read_bytes()))
        return self._read[1]


class FetchedKeys:
    """A key set at an address, kept for an hour and fetched again for a key id it does not hold.

    Args:
        url: the set itself, or the issuer whose discovery document names it.
        get: fetches a body, within a budget of its own, or raises an exception.
        clock: monotonic seconds.
        is_issuer: whether ``url`` is an issuer, asked for ``.well-known/openid-configuration``.
    """

    def __init__(
        self, url: str, *, get: Get, clock: Callable[[], float], is_issuer: bool = False
    ) -> None:
        self._url = url
        self._get = get
        self._clock = clock
        self._is_issuer = is_issuer
        self._keys: tuple[Jwk, ...] = ()
        self._fetched: float | None = None
        self._tried: float | None = None
        self._failure: Exception | None = None
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None) -> Sequence[Jwk]:
        """The keys of that id (see :class:`KeySource`)."""
        async with self._lock:  # those who come meanwhile share one fetch
            if not self._holds(kid) and self._may_try():
                await self._fetch()
        if self._fetched is None:
            raise KeysUnavailable(str(self._failure)) from self._failure
        return _select(self._keys, kid)

    def _holds(self, kid: str | None) -> bool:
        if self._fetched is None or self._clock() - self._fetched >= KEYS_LIVE:
            return False
        return kid is None or bool(_select(self._keys, kid))

    def _may_try(self) -> bool:
        return self._tried is None or self._clock() - self._tried >= KEYS_RETRY

    async def _fetch(self) -> None:
        self._tried = self._clock()
        try:
            url = await self._discover() if self._is_issuer else self._url
            self._keys = parse_jwks(await self._get(url))
        except Exception as error:  # whatever the fetcher raises; the keys of before stay in use
            logger.warning("the keys of %s could not be fetched: %s", self._url, error)
            self._failure = error
            return
        self._fetched = self._clock()

    async def _discover(self) -> str:
        address = self._url.rstrip("/") + "/.well-known/openid-configuration"
        document = _object(await self._get(address))
        url = document.get("jwks_uri")
        if not isinstance(url, str):
            raise KeysInvalid(f"{address} names no jwks_uri.")
        return url


def decode_base64url(text: str) -> bytes:
    """The bytes of unpadded base64url text.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(text, str) or not text.isascii() or "+" in text or "/" in text or "=" in text:
        raise ValueError("not unpadded base64url")
    try:
        return base64.b64decode(
            text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except binascii.Error as error:
        raise ValueError(f"not unpadded base64url: {error}") from error


def _select(keys: Sequence[Jwk], kid: str | None) -> Sequence[Jwk]:
    return keys if kid is None else [key for key in keys if key.kid == kid]


def _object(document: Mapping[str, Any] | str | bytes) -> Mapping[str, Any]:
    if isinstance(document, (str, bytes)):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise KeysInvalid(f"not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise KeysInvalid("not an object")
    return document


def _public_key(member: Mapping[str, Any]) -> PublicKey | None:
    try:
        match member.get("kty"):
            case "RSA":
                numbers = rsa.RSAPublicNumbers(_number(member["e"]), _number(member["n"]))
                return numbers.public_key()
            case "EC" if member.get("crv") in CURVES:
                point = ec.EllipticCurvePublicNumbers(
                    _number(member["x"]), _number(member["y"]), CURVES[member["crv"]]
                )
                return point.public_key()
            case "oct":
                return decode_base64url(member["k"])
    except (KeyError, ValueError, TypeError) as error:
        raise KeysInvalid(f"The key {member.get('kid')!r} is malformed.") from error
    return None


def _number(text: str) -> int:
    return int.from_bytes(decode_base64url(text))
