"""The egress proxy: a process that opens tunnels for whoever sends ``CONNECT host:443``.

It stands for the proxy that many companies have in their VPC (Squid on an instance, say): the one
thing with a way out. It resolves the names itself, so the function need not; TLS stays end to end.
Like Squid's usual settings it lets CONNECT reach port 443 only. RFC 9110, section 9.3.6. It is
started with a listening socket and a control socket, which only tells::

    > {"fact": "vpc.proxy.tunnelled", …}      > {"fact": "vpc.proxy.refused", …}
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus

from natless.vpc import wire
from natless.vpc.model import TLS_PORT

REQUEST_BUDGET = 10.0
"""Seconds for a request to arrive."""

CONNECT_BUDGET = 10.0
"""Seconds for the name and the connection of a tunnel's far end."""

TUNNEL_COUNT = 1000
"""Tunnels at once; more are refused with 503."""

HEAD_BYTES = 16 * 1024
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """Where a tunnel is to lead."""

    host: str
    port: int


class Refused(Exception):
    """A request gets no tunnel; the attribute ``status`` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def parse_request(head: bytes) -> Target:
    """Where a request's head wants to go.

    Raises:
        Refused: it is no CONNECT, or to somewhere that is not allowed.
    """
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(HTTPStatus.BAD_REQUEST)
    if words[0] != "CONNECT":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED)
    host, _, port = words[1].rpartition(":")
    if not host or not port.isdecimal():
        raise Refused(HTTPStatus.BAD_REQUEST)
    if int(port) != TLS_PORT:
        raise Refused(HTTPStatus.FORBIDDEN)
    return Target(host.strip("[]"), int(port))


class ProxyDoor:
    """Serves the connections of clients."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._tunnels = 0
        self.has_ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a request, an answer, and then whatever goes to and fro."""
        target = None
        try:
            async with asyncio.timeout(REQUEST_BUDGET):
                target = parse_request(await reader.readuntil(b"\r\n\r\n"))
            await self._tunnel(target, reader, writer)
        except Refused as refused:
            self._tell("refused", writer, target, status=refused.status)
            with contextlib.suppress(OSError):
                writer.write(_answer(refused.status))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # whoever came has gone, or said nothing that could be answered
        finally:
            writer.close()

    async def _tunnel(
        self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._tunnels >= TUNNEL_COUNT:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE)
        self._tunnels += 1
        try:
            far_reader, far_writer = await _connect(target)
            self._tell("tunnelled", writer, target, status=HTTPStatus.OK)
            try:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _pump_both((reader, far_writer), (far_reader, writer))
            finally:
                far_writer.transport.abort()
        finally:
            self._tunnels -= 1

    def read_control(self) -> None:
        """Learns that the lab has ended; nothing else is ever said to a proxy."""
        if wire.receive(self._control) is None:
            self.has_ended.set()

    def _tell(
        self, what: str, writer: asyncio.StreamWriter, target: Target | None, *, status: int
    ) -> None:
        peer = writer.get_extra_info("peername")
        fact = {
            "fact": f"vpc.proxy.{what}",
            "at": time.monotonic(),
            "peer": peer[0] if peer else "",
            "host": target.host if target else "",
            "port": target.port if target else 0,
            "status": int(status),
        }
        with contextlib.suppress(OSError):  # a fact is worth less than a tunnel
            wire.send(self._control, fact, wait=False)


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(CONNECT_BUDGET):
            return await asyncio.open_connection(target.host, target.port)
    except TimeoutError as error:
        raise Refused(HTTPStatus.GATEWAY_TIMEOUT) from error
    except OSError as error:  # no such name, refused, unreachable
        raise Refused(HTTPStatus.BAD_GATEWAY) from error


async def _pump_both(
    *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Until both sides have said all, or one is cut: then the other is cut as well."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_pump(reader, writer)) for reader, writer in ways]
        for task in asyncio.as_completed(tasks):
            if not await task:
                for each in tasks:
                    each.cancel()
                return


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Carries one direction; True when it ended in good order."""
    try:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except OSError:
        return False
    return True


def _answer(status: HTTPStatus) -> bytes:
    head = f"HTTP/1.1 {status.value} {status.phrase}", "Content-Length: 0", "Connection: close"
    return "\r\n".join((*head, "", "")).encode()


async def serve(*, listener: socket.socket, control: socket.socket) -> None:
    """Opens tunnels until the control socket ends."""
    door = ProxyDoor(control)
    server = await asyncio.start_server(door.serve, sock=listener, limit=HEAD_BYTES)
    asyncio.get_running_loop().add_reader(control, door.read_control)
    await door.has_ended.wait()
    server.close()


def main() -> None:
    """The process: takes its sockets by number."""
    parser = argparse.ArgumentParser(prog="natless.vpc.proxy")
    for name in ("listener", "control"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    listener = socket.socket(fileno=options.listener)
    control = socket.socket(fileno=options.control)
    asyncio.run(serve(listener=listener, control=control))


if __name__ == "__main__":
    main()
