"""The relay's own token issuer: it vouches for every issuer and user pool that is configured.

Its key is made when the first token is asked for and lives as long as the process.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay.auth.jwks import FixedKeys, Jwk


class Mint:
    """Makes tokens of any issuer, and is a :class:`relay.auth.jwks.KeySource` that proves them."""

    def __init__(self) -> None:
        self._kid = f"natless-{secrets.token_hex(8)}"
        self._private: Any = None
        self._keys: FixedKeys | None = None

    async def find(self, kid: str | None) -> Sequence[Jwk]:
        """Its key, if a token names it and one was ever made."""
        if self._keys is None or kid != self._kid:
            return ()
        return await self._keys.find(kid)

    def mint(self, issuer: str, claims: Mapping[str, Any], *, now: float, lifetime: float) -> str:
        """A token that says what it is told to say (see :meth:`relay.auth.issuer.Issuer.mint`)."""
        from relay.auth.issuer import Issuer  # cryptography takes its time
        from relay.auth.jwks import FixedKeys

        if self._private is None:
            first = Issuer.generate(issuer, kid=self._kid)
            self._private = first.private_key
            self._keys = FixedKeys(json.dumps(first.jwks()))
        made = Issuer(issuer, key=self._private, kid=self._kid)
        return made.mint(claims, now=now, lifetime=lifetime)


def issuer_of_user_pool(user_pool_id: str, *, region: str) -> str:
    """The value of ``iss`` in a user pool's tokens."""
    return f"https://cognito-idp.{region}.amazonaws.com/{user_pool_id}"
