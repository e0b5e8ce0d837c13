"""Hears every packet of a stage beside those who speak there."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import websockets

from event_protocol.handshake import offer
from event_protocol.live import Hello, MessageCode, Packet, decode_packet
from tests.conformance.field import Field
from tests.golden.relay import API_KEY

KEY = {"x-api-key": API_KEY}


@asynccontextmanager
async def heard_packets(field: Field) -> AsyncIterator[list[Packet]]:
    """Every packet on any channel of SST's namespace, from now on."""
    packets: list[Packet] = []
    trust = ssl.create_default_context(cafile=field.ca)
    url = f"wss://localhost:{field.local_port}/event/realtime"
    protocols = offer({"host": "localhost", **KEY})
    async with websockets.connect(
        url, ssl=trust, subprotocols=protocols, compression=None, max_size=None, max_queue=None
    ) as socket:
        subscribe = {"type": "subscribe", "id": "ear", "channel": "/sst/*", "authorization": KEY}
        await socket.send(json.dumps(subscribe))
        assert json.loads(await socket.recv())["type"] == "subscribe_success"

        async def listen() -> None:
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "data":
                    packets.append(decode_packet(frame["event"]))

        listening = asyncio.create_task(listen())
        try:
            yield packets
        finally:
            listening.cancel()
            await asyncio.wait({listening})


def codes_of_ours(packets: list[Packet]) -> set[int]:
    """Our own codes in them, without what somebody says to their like.

    A guest's PROBE is for itself. A worker's HELLO that names no feature is for other workers of
    the stage, on the channel where developers' sides listen; SST's drops what another one sent.
    """
    return {
        packet.type for packet in packets if packet.type >= 100 and not _is_among_equals(packet)
    }


def _is_among_equals(packet: Packet) -> bool:
    if packet.source != "dev":
        return packet.type == MessageCode.PROBE
    return packet.type == MessageCode.HELLO and not Hello.decode(packet.data).features
