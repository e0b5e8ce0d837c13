"""Asking another server over HTTP, with a budget and a bound on what it may answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

import aiohttp

MAX_ANSWER_BYTES = 6 * 1024 * 1024  # a Lambda function's largest answer
_SCHEMES = ("http://", "https://")


class FetchFailed(Exception):
    """The other server did not answer usefully; the text says how."""


class Fetcher:
    """An HTTP client for the relay's own questions: keys, discovery documents, authorizers.

    An async context manager; the connections are closed when it is left.

    Args:
        budget: how long one answer may take, seconds, all included.
        ssl: what certificates are trusted; None trusts the system's.
    """

    def __init__(self, *, budget: float, ssl: SSLContext | None = None) -> None:
        self._budget = budget
        self._ssl = ssl
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Ready to ask; nothing is opened yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections; it may be asked again afterwards."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str) -> bytes:
        """The body of a successful answer to GET.

        Raises:
            FetchFailed: no answer within the budget, another status than 200, or too long.
        """
        return await self._ask("GET", url)

    async def post(self, url: str, payload: Mapping[str, Any]) -> bytes:
        """The body of a successful answer to a POST of JSON.

        Raises:
            FetchFailed: as :meth:`get`.
        """
        return await self._ask("POST", url, json.dumps(payload).encode())

    async def _ask(self, method: str, url: str, body: bytes | None = None) -> bytes:
        if not url.startswith(_SCHEMES):
            raise FetchFailed(f"{url} is not an HTTP address")
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._budget),
                self._session.request(
                    method, url, data=body, headers=headers, ssl=self._ssl or True
                ) as answer,
            ):
                content = await answer.content.read(MAX_ANSWER_BYTES + 1)
                while len(content) <= MAX_ANSWER_BYTES and not answer.content.at_eof():
                    content += await answer.content.read(MAX_ANSWER_BYTES + 1 - len(content))
                status = answer.status
        except TimeoutError:
            raise FetchFailed(f"{url} did not answer within {self._budget:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(f"{url}: {error}") from error
        if status != 200:
            raise FetchFailed(f"{url} answered with status {status}")
        if len(content) > MAX_ANSWER_BYTES:
            raise FetchFailed(f"{url} answered with more than {MAX_ANSWER_BYTES} bytes")
        return content
