"""``POST /_natless/tokens``: a token of any configured user pool or issuer, for tests.

::

    {"userPoolId": "us-east-1_AbCdEfGhI", "claims": {"sub": "ada", "token_use": "access"}}
    {"issuer": "https://issuer.example", "claims": {"aud": "app"}, "lifetime": 60}

The answer is ``{"token": "…"}``. Only who is on this machine may ask, and no web page: without CORS
headers a browser neither sends JSON here nor reads an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from relay.admin import is_loopback
from relay.auth.mint import Mint, issuer_of_user_pool
from relay.front import Visit
from relay.namespaces import Api
from relay.publishing import NewIdentifier

LIFETIME = 3600.0  # seconds; Cognito's own default


class Refused(Exception):
    """A request that gets no token; the text says why."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, eq=False)
class TokenDoor:
    """Mints what is asked for.

    Attributes:
        mint: signs.
        wall: seconds since 1970.
        budget: how long the body of a request may take to arrive, seconds.
        new_identifier: makes request ids.
    """

    mint: Mint
    wall: Callable[[], float]
    budget: float
    new_identifier: NewIdentifier

    async def __call__(
        self, request: web.BaseRequest, *, api: Api | None, visit: Visit
    ) -> web.StreamResponse:
        """Answers one request (see :class:`relay.service.Door`)."""
        try:
            token = await self._make(request, visit)
        except Refused as refused:
            return self._answer({"message": str(refused)}, status=refused.status)
        return self._answer({"token": token}, status=200)

    async def _make(self, request: web.BaseRequest, visit: Visit) -> str:
        if not is_loopback(visit.peer):
            raise Refused("Ask from the machine that the relay runs on.", status=403)
        if request.method != "POST" or request.content_type != "application/json":
            raise Refused("Send a POST of application/json.", status=405)
        try:
            async with asyncio.timeout(self.budget):
                asked = json.loads(await request.read())
        except TimeoutError:
            raise Refused("The body is late.", status=408) from None
        except web.HTTPRequestEntityTooLarge:
            raise Refused("The body is too large.", status=413) from None
        except (ValueError, RecursionError):
            raise Refused("The body is not JSON.") from None
        if not isinstance(asked, dict):
            raise Refused("The body is not a JSON object.")
        return self._mint(asked)

    def _mint(self, asked: dict[str, object]) -> str:
        pool, issuer = asked.get("userPoolId"), asked.get("issuer")
        claims, lifetime = asked.get("claims", {}), asked.get("lifetime", LIFETIME)
        if isinstance(pool, str) and issuer is None:
            issuer = issuer_of_user_pool(pool, region=pool.partition("_")[0])
        if not isinstance(issuer, str):
            raise Refused("Name an issuer or a userPoolId.")
        if not isinstance(claims, dict):
            raise Refused("claims must be an object.")
        if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)):
            raise Refused("lifetime must be a number of seconds.")
        try:
            return self.mint.mint(issuer, claims, now=self.wall(), lifetime=lifetime)
        except (ValueError, OverflowError):
            raise Refused("lifetime is too long.") from None

    def _answer(self, document: dict[str, str], *, status: int) -> web.Response:
        headers = {"Content-Type": "application/json", "x-amzn-RequestId": self.new_identifier()}
        return web.Response(body=json.dumps(document).encode(), status=status, headers=headers)
