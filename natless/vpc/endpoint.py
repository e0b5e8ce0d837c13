"""The interface endpoint: a process that completes the TLS handshake and refuses every request.

Its certificate covers the names of all AppSync APIs of the region, as the real one does, so the
refusal is an answer over HTTP, also to a WebSocket upgrade. It is started with a listening socket
and a control socket::

    < {"endpoint": {…}}      > {"is_ready": true}      > {"fact": "vpc.endpoint.refused", …}
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import ssl
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus

from natless.vpc import wire
from natless.vpc.model import Endpoint

REQUEST_BUDGET = 10.0
"""Seconds for a handshake, and again for a request to arrive."""

HEAD_BYTES = 64 * 1024
BODY_BYTES = 8 * 1024 * 1024
"""More than any publish may have; what is longer is cut off."""


@dataclass(frozen=True, slots=True)
class Request:
    """What matters of a request's head: who is asked for what, and how long its body is."""

    method: str
    target: str
    host: str
    body_bytes: int
    is_chunked: bool


class NotHttp(ValueError):
    """What came in is not the head of an HTTP/1 request."""


def parse_head(head: bytes) -> Request:
    """Reads the head of a request, up to and including its empty line.

    Raises:
        NotHttp: it is none.
    """
    try:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body_bytes = int(headers.get("content-length", "0"))
    except ValueError as error:
        raise NotHttp(f"not the head of a request: {error}") from error
    if not version.startswith("HTTP/1."):
        raise NotHttp(f"not HTTP/1: {version!r}")
    return Request(
        method=method,
        target=target,
        host=headers.get("host", ""),
        body_bytes=body_bytes,
        is_chunked="chunked" in headers.get("transfer-encoding", "").lower(),
    )


def render_refusal(endpoint: Endpoint, *, request_id: str) -> bytes:
    """The refusal, in the shape of AppSync's errors."""
    error = {"errorType": endpoint.error_type, "message": endpoint.message}
    body = json.dumps({"errors": [error]}).encode()
    head = (
        f"HTTP/1.1 {endpoint.status} {HTTPStatus(endpoint.status).phrase}",
        "Content-Type: application/json; charset=UTF-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        f"x-amzn-RequestId: {request_id}",
        f"x-amzn-ErrorType: {endpoint.error_type}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


class EndpointDoor:
    """Refuses each connection's first request, then closes it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._endpoint = Endpoint()
        self.has_ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, after its TLS handshake."""
        with contextlib.suppress(
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            OSError,
            ValueError,
        ):
            async with asyncio.timeout(REQUEST_BUDGET):
                request = parse_head(await reader.readuntil(b"\r\n\r\n"))
                await _skip_body(reader, request)
                writer.write(render_refusal(self._endpoint, request_id=str(uuid.uuid4())))
                self._tell(request, peer=writer.get_extra_info("peername")[0])
                await writer.drain()
        with contextlib.suppress(OSError, TimeoutError):
            writer.close()
            async with asyncio.timeout(REQUEST_BUDGET):
                await writer.wait_closed()

    def read_control(self) -> None:
        """Takes how to answer from the control socket, or learns that the lab has ended."""
        received = wire.receive(self._control)
        if received is None:
            self.has_ended.set()
            return
        self._endpoint = Endpoint(**received[0]["endpoint"])
        wire.send(self._control, {"is_ready": True})

    def _tell(self, request: Request, *, peer: str) -> None:
        fact = {
            "fact": "vpc.endpoint.refused",
            "at": time.monotonic(),
            "peer": peer,
            "host": request.host,
            "method": request.method,
            "path": request.target.partition("?")[0],
            "status": self._endpoint.status,
        }
        with contextlib.suppress(BlockingIOError):  # a fact is worth less than an answer
            wire.send(self._control, fact, wait=False)


async def _skip_body(reader: asyncio.StreamReader, request: Request) -> None:
    # A body left unread would turn our close into a reset, which may overtake the answer.
    if request.is_chunked:
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(min(size, BODY_BYTES) + 2)
    elif request.body_bytes:
        await reader.readexactly(min(request.body_bytes, BODY_BYTES))


async def serve(
    *, listener: socket.socket, control: socket.socket, certificate: str, key: str
) -> None:
    """Refuses until the control socket ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    door = EndpointDoor(control)
    server = await asyncio.start_server(
        door.serve,
        sock=listener,
        ssl=context,
        limit=HEAD_BYTES,
        ssl_handshake_timeout=REQUEST_BUDGET,
    )
    asyncio.get_running_loop().add_reader(control, door.read_control)
    await door.has_ended.wait()
    server.close()


def main() -> None:
    """The process: takes its sockets by number and its certificate by path."""
    parser = argparse.ArgumentParser(prog="natless.vpc.endpoint")
    for name in ("listener", "control"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("certificate", "key"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    asyncio.run(
        serve(
            listener=socket.socket(fileno=options.listener),
            control=socket.socket(fileno=options.control),
            certificate=options.certificate,
            key=options.key,
        )
    )


if __name__ == "__main__":
    main()
