"""An issuer of tokens inside the relay, for tests that have no Cognito and no OpenID provider.

It holds a key of its own and signs whatever claims it is asked to sign; who may use the relay may
therefore be anybody. Its public half is what the token modes verify against.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from relay.auth.jwks import CURVES
from relay.auth.jwt import HASHES

LIFETIME = 3600.0  # seconds; Cognito's own default

_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | bytes


class Issuer:
    """Signs tokens as one issuer.

    Args:
        issuer: the value of ``iss``; for OpenID Connect also where its discovery document is.
        key: the private key, or the bytes of a shared secret.
        algorithm: as RFC 7518 names it, fit for the key.
        kid: the key's name.
    """

    def __init__(
        self, issuer: str, *, key: PrivateKey, algorithm: str = "RS256", kid: str = "natless-1"
    ) -> None:
        self.issuer = issuer
        self.algorithm = algorithm
        self.kid = kid
        self._key = key

    @property
    def private_key(self) -> PrivateKey:
        """What it signs with."""
        return self._key

    @classmethod
    def generate(cls, issuer: str, *, algorithm: str = "RS256", kid: str = "natless-1") -> Issuer:
        """An issuer with a fresh key."""
        key: PrivateKey
        if algorithm[:2] in ("RS", "PS"):
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        elif algorithm[:2] == "ES":
            key = ec.generate_private_key(CURVES[_CURVE_OF[algorithm]])
        else:
            key = secrets.token_bytes(64)
        return cls(issuer, key=key, algorithm=algorithm, kid=kid)

    @classmethod
    def for_user_pool(cls, user_pool_id: str, *, region: str) -> Issuer:
        """An issuer that stands in for a Cognito user pool."""
        return cls.generate(f"https://cognito-idp.{region}.amazonaws.com/{user_pool_id}")

    def mint(self, claims: Mapping[str, Any], *, now: float, lifetime: float = LIFETIME) -> str:
        """A signed token; ``iss``, ``iat`` and ``exp`` are added unless they are given.

        Args:
            claims: what it says.
            now: wall clock, seconds since the epoch.
            lifetime: seconds until it expires.
        """
        header = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT"}
        payload = {"iss": self.issuer, "iat": int(now), "exp": int(now + lifetime)} | dict(claims)
        signed = f"{_encode_json(header)}.{_encode_json(payload)}"
        return f"{signed}.{_encode(self._sign(signed.encode()))}"

    def jwks(self) -> dict[str, Any]:
        """The key set that proves its tokens; of a shared secret, the secret itself."""
        member: dict[str, Any] = {"kid": self.kid, "alg": self.algorithm, "use": "sig"}
        if isinstance(self._key, bytes):
            member |= {"kty": "oct", "k": _encode(self._key)}
        elif isinstance(self._key, rsa.RSAPrivateKey):
            public = self._key.public_key().public_numbers()
            member |= {"kty": "RSA", "n": _encode_number(public.n), "e": _encode_number(public.e)}
        else:
            point = self._key.public_key().public_numbers()
            size = (self._key.curve.key_size + 7) // 8
            member |= {
                "kty": "EC",
                "crv": _CURVE_OF[self.algorithm],
                "x": _encode(point.x.to_bytes(size)),
                "y": _encode(point.y.to_bytes(size)),
            }
        return {"keys": [member]}

    def discovery(self, jwks_uri: str) -> dict[str, Any]:
        """The document at ``<issuer>/.well-known/openid-configuration``."""
        return {
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "id_token_signing_alg_values_supported": [self.algorithm],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
        }

    def _sign(self, content: bytes) -> bytes:
        bits = self.algorithm[2:]
        digest = HASHES[bits]
        if isinstance(self._key, bytes):
            return hmac.digest(self._key, content, f"sha{bits}")
        if isinstance(self._key, rsa.RSAPrivateKey):
            if self.algorithm.startswith("PS"):
                scheme = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
                return self._key.sign(content, scheme, digest)
            return self._key.sign(content, padding.PKCS1v15(), digest)
        size = (self._key.curve.key_size + 7) // 8
        numbers = decode_dss_signature(self._key.sign(content, ec.ECDSA(digest)))
        return b"".join(number.to_bytes(size) for number in numbers)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _encode_json(value: Mapping[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode_number(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8))
