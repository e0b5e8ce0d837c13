"""One HTTPS connection to the API's HTTP host, opened in two steps that can be timed apart."""

from __future__ import annotations

import asyncio
import json
import socket
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
from runtime_shim.routes import Endpoint, Proxy
from runtime_shim.tunnel import open_tunnel


class HttpsConnection:
    """A connection for one request after the other.

    Args:
        target: the host.
        context: whom to trust.
        api_key: goes with every request.
        proxy: through whom, or None.
    """

    def __init__(
        self,
        target: Endpoint,
        *,
        context: ssl.SSLContext,
        api_key: str,
        proxy: Proxy | None = None,
    ) -> None:
        self.target = target
        self._proxy = proxy
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
        """The addresses of the host, or of the proxy. Raises ``OSError`` or ``Obstacle``."""
        return [str(found[4][0]) for found in await resolve(self._hop)]

    @property
    def _hop(self) -> Endpoint:
        return self.target if self._proxy is None else self._proxy.endpoint

    async def connect(self, address: str) -> None:
        """TCP, and the tunnel where there is a proxy. Raises ``OSError`` or ``Obstacle``."""
        self.close()
        port = self._hop.port
        if self._proxy is None:
            self._streams = await asyncio.open_connection(address, port, limit=HEAD_BYTES)
            return
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
            authorization = self._proxy.authorization
            await open_tunnel(connection, self.target, authorization=authorization)
            self._streams = await asyncio.open_connection(sock=connection, limit=HEAD_BYTES)
        except BaseException:
            connection.close()
            raise

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
