"""The frames of the AWS AppSync Events developer guide, as a Python programmer would send them."""

import asyncio
import base64
import json
from typing import Any

import websockets
from checks import SETTINGS
from websockets.asyncio.client import ClientConnection

HTTP_HOST, REALTIME_HOST = SETTINGS["httpHost"], SETTINGS["realtimeHost"]
AUTHORIZATION = {"host": HTTP_HOST, "x-api-key": SETTINGS["apiKey"]}


def header_protocol(authorization: dict[str, str], *, line_feed: bool = False) -> str:
    text = json.dumps(authorization) + "\n" * line_feed
    return "header-" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def connect(*protocols: str, path: str = "/event/realtime", **options: Any) -> Any:
    return websockets.connect(
        f"wss://{REALTIME_HOST}{path}",
        subprotocols=[websockets.Subprotocol(each) for each in protocols],
        **options,
    )


async def say(socket: ClientConnection, frame: dict[str, Any]) -> None:
    await socket.send(json.dumps(frame))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        frame = json.loads(await socket.recv())
    assert isinstance(frame, dict)
    return frame


async def init(socket: ClientConnection) -> None:
    await say(socket, {"type": "connection_init"})
    assert await hear(socket) == {"type": "connection_ack", "connectionTimeoutMs": 300000}
    assert await hear(socket) == {"type": "ka"}


def subscribe(identifier: str, channel: str) -> dict[str, Any]:
    return {
        "type": "subscribe",
        "id": identifier,
        "channel": channel,
        "authorization": AUTHORIZATION,
    }


def publish(identifier: str, channel: str, *events: str) -> dict[str, Any]:
    return {
        "type": "publish",
        "id": identifier,
        "channel": channel,
        "events": list(events),
        "authorization": AUTHORIZATION,
    }
