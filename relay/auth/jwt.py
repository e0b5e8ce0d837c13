"""JSON Web Tokens: the modes of Cognito user pools and OpenID Connect.

::

    header.claims.signature ──decode──> Token ──issuer's keys──> proved claims ──rules──> Identity

The rules are those of the AWS AppSync Events developer guide, configure-event-api-auth. The text of
an expired token holds "Token expired", which Amplify clients look for.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Identity
from relay.auth.jwks import CURVES, Jwk, KeySource, KeysUnavailable, decode_base64url

MAX_TOKEN = 16 * 1024  # characters; HTTP stacks refuse longer headers anyway

HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVE_OF = {"256": "P-256", "384": "P-384", "512": "P-521"}
_ALGORITHM = re.compile(r"(RS|PS|HS|ES)(256|384|512)")
_BEARER = re.compile(r"bearer +", re.IGNORECASE)


class TokenError(Exception):
    """A token does not hold; the text says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token taken apart, not yet proved.

    Attributes:
        algorithm: the header's ``alg``.
        kid: the header's ``kid``, None if absent.
        claims: the payload.
        signed: the bytes that are signed.
        signature: the signature.
    """

    algorithm: str
    kid: str | None
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def decode_token(text: str) -> Token:
    """Takes a token apart; a leading ``Bearer`` is dropped.

    Raises:
        TokenError: it is not a signed token of a known algorithm (``none`` is not).
    """
    text = _BEARER.sub("", text.strip(), count=1)
    if len(text) > MAX_TOKEN:
        raise TokenError("The token is too long.")
    parts = text.split(".")
    if len(parts) != 3:
        raise TokenError("The token is not three parts joined by dots.")
    try:
        header, claims = (_json_object(decode_base64url(part)) for part in parts[:2])
        signature = decode_base64url(parts[2])
    except (ValueError, RecursionError):
        raise TokenError("The token is not base64url of JSON objects.") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not _ALGORITHM.fullmatch(algorithm):
        raise TokenError("The token's algorithm is not accepted.")
    if "crit" in header:
        raise TokenError("The token demands extensions that are not known.")
    return Token(
        algorithm=algorithm,
        kid=kid if isinstance(kid, str) else None,
        claims=claims,
        signed=f"{parts[0]}.{parts[1]}".encode(),
        signature=signature,
    )


def is_signed_by(token: Token, key: Jwk) -> bool:
    """Whether the token's signature was made with this key, used as its kind demands.

    The kind of the key decides what a signature is, never the token alone: a public RSA key is no
    shared secret.
    """
    if key.algorithm is not None and key.algorithm != token.algorithm:
        return False
    family, bits = token.algorithm[:2], token.algorithm[2:]
    material, digest = key.key, HASHES[bits]
    try:
        if isinstance(material, rsa.RSAPublicKey) and family == "RS":
            material.verify(token.signature, token.signed, padding.PKCS1v15(), digest)
        elif isinstance(material, rsa.RSAPublicKey) and family == "PS":
            scheme = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            material.verify(token.signature, token.signed, scheme, digest)
        elif isinstance(material, ec.EllipticCurvePublicKey) and family == "ES":
            curve = CURVES[_CURVE_OF[bits]]
            if material.curve.name != curve.name:
                return False
            material.verify(_der(token.signature, curve), token.signed, ec.ECDSA(digest))
        elif isinstance(material, bytes) and family == "HS":
            expected = hmac.digest(material, token.signed, f"sha{bits}")
            return hmac.compare_digest(expected, token.signature)
        else:
            return False
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class OidcRules:
    """What a token of an OpenID Connect issuer must say.

    Attributes:
        issuer: the value of ``iss``.
        client_id: an expression that ``aud`` or ``azp`` must match in full, None for any.
        iat_ttl: how long after ``iat`` the token may be used, seconds, None for as long as it says.
        auth_ttl: how long after ``auth_time`` it may be used, seconds.
    """

    issuer: str
    client_id: re.Pattern[str] | None = None
    iat_ttl: float | None = None
    auth_ttl: float | None = None

    mode = AuthMode.OIDC

    def check(self, token: Token, *, now: float) -> None:
        """Checks proved claims.

        Raises:
            TokenError: they break a rule.
        """
        claims = token.claims
        issued = _time(claims, "iat")
        if issued is None:
            raise TokenError("The token does not say when it was issued (iat).")
        if self.iat_ttl is not None and now >= issued + self.iat_ttl:
            raise TokenError("Token expired: it was issued too long ago.")
        if self.auth_ttl is not None:
            authenticated = _time(claims, "auth_time")
            if authenticated is None:
                raise TokenError("The token does not say when the user signed in (auth_time).")
            if now >= authenticated + self.auth_ttl:
                raise TokenError("Token expired: the user signed in too long ago.")
        if not _matches(self.client_id, (*_audience(claims), claims.get("azp"))):
            raise TokenError("The token is for another client.")

    def describe(self, claims: Mapping[str, Any], *, source_ip: str) -> dict[str, Any]:
        """What a handler sees as ``ctx.identity``; AWS shows this shape for GraphQL only."""
        return {"claims": claims, "issuer": self.issuer, "sub": claims.get("sub")}


@dataclass(frozen=True, slots=True)
class CognitoRules:
    """What a token of a Cognito user pool must say.

    Attributes:
        user_pool_id: as ``us-east-1_AbCdEfGhI``.
        region: the pool's region.
        client_id: an expression that the app client's id must match in full, None for any.
    """

    user_pool_id: str
    region: str
    client_id: re.Pattern[str] | None = None

    mode = AuthMode.COGNITO

    @property
    def issuer(self) -> str:
        """The value of ``iss``."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.user_pool_id}"

    def check(self, token: Token, *, now: float) -> None:
        """Checks proved claims.

        Raises:
            TokenError: they break a rule.
        """
        claims = token.claims
        if token.algorithm != "RS256":
            raise TokenError("A user pool signs with RS256.")
        if claims.get("token_use") not in ("access", "id"):
            raise TokenError("The token is neither an access token nor an id token.")
        # Access tokens carry client_id, id tokens carry it as the audience.
        if not _matches(self.client_id, (claims.get("client_id"), *_audience(claims))):
            raise TokenError("The token is for another app client.")

    def describe(self, claims: Mapping[str, Any], *, source_ip: str) -> dict[str, Any]:
        """What a handler sees as ``ctx.identity`` (developer guide, context-reference)."""
        return {
            "sourceIp": [source_ip],
            "username": claims.get("cognito:username") or claims.get("username"),
            "groups": claims.get("cognito:groups"),
            "sub": claims.get("sub"),
            "issuer": self.issuer,
            "claims": claims,
            "defaultAuthStrategy": "ALLOW",
        }


class JwtAuthorizer:
    """Either token mode (see :class:`relay.auth.base.Authorizer`).

    Args:
        rules: what the token must say.
        keys: the issuer's keys.
        clock: wall clock, seconds since the epoch.
    """

    def __init__(
        self,
        rules: OidcRules | CognitoRules,
        *,
        keys: KeySource,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._keys = keys
        self._clock = clock

    @property
    def mode(self) -> AuthMode:
        """Cognito or OpenID Connect, as the rules are."""
        return self._rules.mode

    def recognizes(self, credentials: Mapping[str, str]) -> bool:
        """Whether the Authorization value is a token that says it comes from this issuer."""
        text = credentials.get("authorization")
        if not text:
            return False
        try:
            return decode_token(text).claims.get("iss") == self._rules.issuer
        except TokenError:
            return False

    async def authorize(self, request: AccessRequest) -> Identity:
        """Proves the token.

        Raises:
            AccessDenied: ``UnauthorizedException``; the message says what is wrong with it.
        """
        try:
            claims = await self._prove(request.credentials.get("authorization", ""))
        except TokenError as error:
            raise AccessDenied(str(error)) from None
        described = self._rules.describe(claims, source_ip=request.source_ip)
        return Identity(mode=self.mode, claims=described)

    async def _prove(self, text: str) -> Mapping[str, Any]:
        token = decode_token(text)
        if token.claims.get("iss") != self._rules.issuer:
            raise TokenError("The token is of another issuer.")
        try:
            keys: Sequence[Jwk] = await self._keys.find(token.kid)
        except KeysUnavailable:
            raise TokenError("The keys of the token's issuer are not available.") from None
        if not any(is_signed_by(token, key) for key in keys):
            raise TokenError("The token's signature does not hold.")
        now = self._clock()
        expires = _time(token.claims, "exp")
        if expires is None:
            raise TokenError("The token does not say when it expires (exp).")
        if now >= expires:
            raise TokenError("Token expired")
        begins = _time(token.claims, "nbf")
        if begins is not None and now < begins:
            raise TokenError("The token is not valid yet.")
        self._rules.check(token, now=now)
        return token.claims


def _json_object(content: bytes) -> dict[str, Any]:
    def refuse(name: str) -> float:
        raise ValueError(f"{name} is not JSON")

    value = json.loads(content, parse_constant=refuse)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TokenError(f"The token's {name} is not a number.")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise TokenError(f"The token's {name} is not a time.")
    return seconds


def _audience(claims: Mapping[str, Any]) -> Sequence[object]:
    audience = claims.get("aud")
    return audience if isinstance(audience, list) else [audience]


def _matches(pattern: re.Pattern[str] | None, values: Sequence[object]) -> bool:
    if pattern is None:
        return True
    return any(isinstance(value, str) and pattern.fullmatch(value) for value in values)


def _der(signature: bytes, curve: ec.EllipticCurve) -> bytes:
    """A token's signature is both numbers side by side; the library wants them in DER."""
    size = (curve.key_size + 7) // 8
    if len(signature) != 2 * size:
        raise InvalidSignature
    first, second = (int.from_bytes(half) for half in (signature[:size], signature[size:]))
    return encode_dss_signature(first, second)
