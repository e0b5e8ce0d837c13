"""Where HTTP requests to ``/v1`` and ``/v2`` become requests to the control plane."""

from __future__ import annotations

import asyncio

from aiohttp import web

from relay.control.errors import ControlError, RequestTooLarge
from relay.control.signing import ControlRequest
from relay.control_plane import ControlPlane
from relay.front import Visit
from relay.namespaces import Api

PREFIXES = ("/v1", "/v2")


class RequestLate(ControlError):
    """The body did not arrive in time."""

    name, status = "RequestTimeoutException", 408


class ControlDoor:
    """Answers requests under :data:`PREFIXES`, whatever host they name.

    Args:
        plane: carries out the operations.
        budget: how long the body of a request may take to arrive, seconds.
    """

    def __init__(self, plane: ControlPlane, *, budget: float) -> None:
        self._plane = plane
        self._budget = budget

    async def __call__(
        self, request: web.BaseRequest, *, api: Api | None, visit: Visit
    ) -> web.StreamResponse:
        """Answers one request (see :class:`relay.service.Door`)."""
        try:
            body = await self._read(request)
        except ControlError as error:
            answer = self._plane.refuse(error)
        else:
            raw_path, _, raw_query = request.raw_path.partition("?")
            answer = await self._plane.answer(
                ControlRequest(
                    method=request.method,
                    raw_path=raw_path,
                    raw_query=raw_query,
                    headers={name.lower(): value for name, value in request.headers.items()},
                    body=body,
                )
            )
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _read(self, request: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout(self._budget):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise RequestTooLarge("The body is larger than any valid request.") from None
        except TimeoutError:
            raise RequestLate(f"The body did not arrive within {self._budget:g} s.") from None
