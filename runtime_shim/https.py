"""One HTTPS connection to the API's HTTP host, opened in two steps that can be timed apart."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

from runtime_shim.http_messages import (
    HEAD_BYTES,
    HttpMessage,
    encode_message,
    read_body,
    read_head,
)
from runtime_shim.names import resolve
from runtime_shim.routes import Endpoint


class HttpsConnection:
    """A connection for one request after the other.

    Args:
        target: the host.
        context: whom to trust.
        api_key: goes with every request.
    """

    def __init__(self, target: Endpoint, *, context: ssl.SSLContext, api_key: str) -> None:
        self.target = target
        self._context = context
        self._api_key = api_key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent, as far as this side knows."""
        if self._streams is None:
            return False
        reader, writer = self._streams
        return not (reader.at_eof() or writer.is_closing())

    async def resolve(self) -> list[str]:
        """The host's addresses. Raises ``OSError`` or ``Obstacle``."""
        return [str(found[4][0]) for found in await resolve(self.target)]

    async def connect(self, address: str) -> None:
        """TCP. Raises ``OSError``."""
        self.close()
        self._streams = await asyncio.open_connection(address, self.target.port, limit=HEAD_BYTES)

    async def start_tls(self) -> None:
        """TLS. Raises ``OSError``."""
        assert self._streams is not None
        await self._streams[1].start_tls(self._context, server_hostname=self.target.host)

    async def post(
        self, path: str, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> HttpMessage:
        """Sends one request and reads its reply.

        Whoever gives up in between must :meth:`close`: the reply would be taken for the next one's.

        Raises:
            OSError, EOFError, MalformedMessage: the connection failed or said no HTTP.
        """
        assert self._streams is not None
        reader, writer = self._streams
        fields = {
            "Host": str(self.target).removesuffix(":443"),
            "Content-Type": "application/json",
            "x-api-key": self._api_key,
        } | dict(headers or {})
        text = json.dumps(body, separators=(",", ":")).encode()
        writer.write(encode_message(f"POST {path} HTTP/1.1", fields, text))
        await writer.drain()
        reply = await read_body(reader, await read_head(reader))
        if reply.wants_close:
            self.close()
        return reply

    def close(self) -> None:
        """Drops it."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()
