"""The VPC's resolver: a process that answers DNS over UDP and TCP for whoever asks.

It is started with two sockets that are bound already and with a control socket. On the latter it
gets a zone, which it confirms, as often as the topology changes, and tells what it answered::

    < {"zone": {…}}      > {"is_ready": true}      > {"fact": "vpc.resolver.answered", …}
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import time
from typing import Any

from natless.vpc import wire
from natless.vpc.replies import decide_reply
from natless.vpc.zone import Zone, decode_zone

TCP_IDLE_BUDGET = 10.0
"""Seconds that a client may keep a connection open without asking anything."""


class Resolver(asyncio.DatagramProtocol):
    """Answers queries from one zone, which may be exchanged at any time."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._zone = Zone()
        self._transport: asyncio.DatagramTransport | None = None
        self.has_ended = asyncio.Event()

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  asyncio's own signature
        """Called by asyncio when the socket is ready."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Called by asyncio with one query over UDP."""
        answer = self._answer(data, peer=addr[0], transport="udp")
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)

    async def serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers the queries of one TCP connection, each after its length in two bytes."""
        peer = writer.get_extra_info("peername")[0]
        with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                async with asyncio.timeout(TCP_IDLE_BUDGET):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(size)
                answer = self._answer(query, peer=peer, transport="tcp")
                if answer is not None:
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
        writer.close()

    def read_control(self) -> None:
        """Takes a new zone from the control socket, or learns that the lab has ended."""
        received = wire.receive(self._control)
        if received is None:
            self.has_ended.set()
            return
        self._zone = decode_zone(received[0]["zone"])
        wire.send(self._control, {"is_ready": True})

    def _answer(self, query: bytes, *, peer: str, transport: str) -> bytes | None:
        started = time.monotonic()
        reply = decide_reply(query, zone=self._zone)
        fact = {
            "fact": "vpc.resolver.answered" if reply.packet else "vpc.resolver.ignored",
            "at": started,
            "name": reply.name.rstrip("."),
            "type": reply.kind,
            "rcode": reply.rcode,
            "addresses": reply.addresses,
            "peer": peer,
            "transport": transport,
        }
        with contextlib.suppress(BlockingIOError):  # a fact is worth less than an answer
            wire.send(self._control, fact, wait=False)
        return reply.packet


async def serve(*, udp: socket.socket, tcp: socket.socket, control: socket.socket) -> None:
    """Answers until the control socket ends."""
    loop = asyncio.get_running_loop()
    resolver = Resolver(control)
    await loop.create_datagram_endpoint(lambda: resolver, sock=udp)
    server = await asyncio.start_server(resolver.serve_stream, sock=tcp)
    loop.add_reader(control, resolver.read_control)
    await resolver.has_ended.wait()
    server.close()


def main() -> None:
    """The process: takes its sockets by number."""
    parser = argparse.ArgumentParser(prog="natless.vpc.resolver")
    for name in ("udp", "tcp", "control"):
        parser.add_argument(f"--{name}", type=int, required=True)
    numbers = parser.parse_args()
    asyncio.run(
        serve(
            udp=socket.socket(fileno=numbers.udp),
            tcp=socket.socket(fileno=numbers.tcp),
            control=socket.socket(fileno=numbers.control),
        )
    )


if __name__ == "__main__":
    main()
