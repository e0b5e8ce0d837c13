"""What one writes first with aiohttp: a library send and a json.dumps for every subscriber.

Speaks as much of the protocol as a load generator needs, checks nothing. ``python -m
bench.naive_relay CERTIFICATE KEY`` prints its plain and its TLS port.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import uuid
from collections import defaultdict
from typing import Any

from aiohttp import WSMsgType, web


class NaiveRelay:
    """Everybody who listens to a channel, and a send for each."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[tuple[str, web.WebSocketResponse]]] = defaultdict(list)

    async def realtime(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("aws-appsync-event-ws",), compress=False)
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._handle(socket, json.loads(message.data))
        finally:
            for listening in self._subscribers.values():
                listening[:] = [one for one in listening if one[1] is not socket]
        return socket

    async def publish(self, request: web.Request) -> web.Response:
        document = await request.json()
        return web.json_response(await self._broadcast(document))

    async def _handle(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "connection_init":
                await socket.send_str(
                    json.dumps({"type": "connection_ack", "connectionTimeoutMs": 300_000})
                )
            case "subscribe":
                self._subscribers[frame["channel"]].append((frame["id"], socket))
                await socket.send_str(json.dumps({"id": frame["id"], "type": "subscribe_success"}))
            case "publish":
                outcome = {"id": frame["id"], "type": "publish_success"}
                await socket.send_str(json.dumps(outcome | await self._broadcast(frame)))

    async def _broadcast(self, document: dict[str, Any]) -> dict[str, Any]:
        for event in document["events"]:
            for name, socket in list(self._subscribers[document["channel"]]):
                await socket.send_str(json.dumps({"id": name, "type": "data", "event": event}))
        successful = [
            {"identifier": str(uuid.uuid4()), "index": index}
            for index in range(len(document["events"]))
        ]
        return {"successful": successful, "failed": []}


async def main() -> None:
    relay = NaiveRelay()
    app = web.Application()
    app.router.add_get("/event/realtime", relay.realtime)
    app.router.add_post("/event", relay.publish)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[1], sys.argv[2])
    sites = [web.TCPSite(runner, "127.0.0.1", 0, ssl_context=one) for one in (None, tls)]
    for site in sites:
        await site.start()
    print(*(address[1] for address in runner.addresses), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
