"""A tunnel through an HTTP proxy: ``CONNECT host:port``, then the connection is the host's.

RFC 9110, section 9.3.6. The name is resolved by the proxy, and TLS stays end to end.
"""

from __future__ import annotations

import asyncio
import socket

from event_protocol.phases import Outcome
from runtime_shim.errors import Obstacle
from runtime_shim.routes import Endpoint

HEAD_BYTES = 16 * 1024


async def open_tunnel(
    connection: socket.socket, target: Endpoint, *, authorization: str = ""
) -> None:
    """Asks the proxy at the other end for a way to the target.

    Raises:
        Obstacle: it answered with another status than 200 (``http-error``), or hung up.
        OSError: the connection failed.
    """
    loop = asyncio.get_running_loop()
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    await loop.sock_sendall(connection, ("\r\n".join(lines) + "\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:  # the target says nothing before we do: no byte is its own
        piece = await loop.sock_recv(connection, HEAD_BYTES)
        head += piece
        if not piece or len(head) > HEAD_BYTES:
            raise Obstacle(Outcome.CLOSED, message="the proxy answered with no whole head")
    words = head.split(b"\r\n", 1)[0].split(b" ")
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if not 200 <= status < 300:
        raise Obstacle(Outcome.HTTP_ERROR, status=status, message="said by the proxy")
