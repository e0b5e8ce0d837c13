"""A developer's side that behaves as SST's command line was seen to behave.

::

    INIT  unknown function: nothing · a worker is there: nothing · else: remember, start a worker
    NEXT  PING at once · no worker: REBOOT · in any case: queue the event for the worker
    answer of a worker: RESPONSE or ERROR under the request's id, 128 KiB a packet

It shares no code with the guest: packets are cut and joined by hand, the event is read by Python's
own HTTP client, and every packet is one POST, awaited before the next.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from natless.relay_process import RelayReady

INIT, PING, NEXT, RESPONSE, ERROR, REBOOT, INIT_ERROR = range(7)
BUFFER = 131_072
READY_BUDGET = 10.0
Handler = Callable[[Any], Any]


class HandlerFailed(Exception):
    """The handler's own error, as SST's loader posts it."""


@dataclass
class Heard:
    """One message, whole."""

    type: int
    source: str
    id: str
    body: bytes
    indexes: list[int]


@dataclass
class SstCli:
    """The command line. Made by :func:`sst_cli`.

    Attributes:
        targets: the functions that a deployment has registered, by id.
        streams: whether answers are sent as they are written, a packet each.
        heard: every message on the developer's channel, in order.
        said: ``(type, worker)`` of every packet that was published, in order.
        environments: by worker, from INIT.
        workers: the running ones.
        queues: the events that wait for each.
        last_packets: of the latest message that was published.
    """

    relay: RelayReady
    http: aiohttp.ClientSession
    targets: dict[str, Handler]
    streams: bool = False
    heard: list[Heard] = field(default_factory=list)
    said: list[tuple[int, str]] = field(default_factory=list)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    workers: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    queues: dict[str, asyncio.Queue[bytes]] = field(default_factory=dict)
    last_packets: list[dict[str, Any]] = field(default_factory=list)
    _open: dict[str, Heard] = field(default_factory=dict)

    def forget(self) -> None:
        """As when it was ended and started again."""
        for worker in list(self.workers):
            self.stop(worker)
        self.environments.clear()

    def stop(self, worker: str) -> None:
        """As when a worker has exited, after an idle minute: its queue goes with it."""
        self.workers.pop(worker).cancel()
        del self.queues[worker]

    # What arrives.

    async def take(self, event: str) -> None:
        packet = json.loads(event)
        if packet["source"] == "dev":
            return
        heard = self._open.setdefault(
            packet["id"], Heard(packet["type"], packet["source"], packet["id"], b"", [])
        )
        heard.indexes.append(packet["index"])
        assert heard.indexes == list(range(len(heard.indexes)))
        heard.body += base64.b64decode(packet["data"], validate=True)
        if not packet["final"]:
            return
        del self._open[heard.id]
        self.heard.append(heard)
        if heard.type == INIT:
            self._take_init(heard)
        elif heard.type == NEXT:
            await self._take_next(heard)

    def _take_init(self, heard: Heard) -> None:
        init = json.loads(heard.body)
        self.queues.setdefault(heard.source, asyncio.Queue(100))
        handler = self.targets.get(init["functionID"])
        if handler is None or heard.source in self.workers:
            return
        environment = dict(entry.split("=", 1) for entry in init["environment"])
        self.environments[heard.source] = environment
        work = self._work(heard.source, handler)
        self.workers[heard.source] = asyncio.create_task(work)

    async def _take_next(self, heard: Heard) -> None:
        await self.publish(PING, heard.source, b"{}\n")
        self.queues.setdefault(heard.source, asyncio.Queue(100))
        if heard.source not in self.workers:
            await self.publish(REBOOT, heard.source, b"{}\n")
        await self.queues[heard.source].put(heard.body)

    async def _work(self, worker: str, handler: Handler) -> None:
        queue = self.queues[worker]
        while True:
            request_id, event = read_next(await queue.get())
            try:
                answer = handler(event)
            except HandlerFailed as error:
                said = {"errorType": "Error", "errorMessage": str(error), "trace": []}
                await self.publish(ERROR, worker, json.dumps(said).encode(), id_=request_id)
            else:
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                await self.publish(RESPONSE, worker, body, id_=request_id)

    # What is sent.

    async def publish(self, code: int, worker: str, body: bytes, *, id_: str = "") -> None:
        """One message: packet after packet, each awaited."""
        self.last_packets = list(self.packets(code, body, id_=id_))
        for packet in self.last_packets:
            await self.send(worker, packet)

    def packets(self, code: int, body: bytes, *, id_: str = "") -> Iterator[dict[str, Any]]:
        """A full buffer is sent at once; what is left at the end is sent too, even if nothing."""
        name = id_ or f"{int(time.time() * 1000):012x}{secrets.token_hex(6)}"
        cuts = [body[at : at + BUFFER] for at in range(0, len(body), BUFFER)]
        if self.streams or not cuts or len(cuts[-1]) == BUFFER:
            cuts.append(b"")
        for index, cut in enumerate(cuts):
            yield {
                "type": code,
                "source": "dev",
                "id": name,
                "index": index,
                "data": base64.b64encode(cut).decode(),
                "final": index == len(cuts) - 1,
            }

    async def send(self, worker: str, packet: dict[str, Any]) -> None:
        self.said.append((packet["type"], worker))
        event = json.dumps(packet, separators=(",", ":"))
        body = {"channel": f"/sst/app/dev/{worker}/in", "events": [event]}
        url = f"https://localhost:{self.relay.port}/event"
        headers = {"x-api-key": self.relay.api_key}
        async with self.http.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()


def read_next(body: bytes) -> tuple[str, Any]:
    """Request id and event of an HTTP response on the wire."""

    class Wire:
        def makefile(self, _: str) -> io.BytesIO:
            return io.BytesIO(body)

    response = http.client.HTTPResponse(Wire())  # type: ignore[arg-type]
    response.begin()
    assert response.status == 200
    request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
    return request_id, json.loads(response.read() or b"null")


@asynccontextmanager
async def sst_cli(relay: RelayReady, **targets: Handler) -> AsyncIterator[SstCli]:
    """A command line that is subscribed, with these functions registered."""
    trust = ssl.create_default_context(cafile=str(relay.ca))
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as http:
        cli = SstCli(relay, http, dict(targets))
        ready = asyncio.Event()
        listening = asyncio.create_task(_listen(cli, ready))
        try:
            async with asyncio.timeout(READY_BUDGET):
                await ready.wait()
            yield cli
        finally:
            tasks = [listening, *cli.workers.values()]
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if not isinstance(result, asyncio.CancelledError):
            assert result is None, repr(result)


async def _listen(cli: SstCli, ready: asyncio.Event) -> None:
    authorization = {"host": cli.relay.http_host, "x-api-key": cli.relay.api_key}
    token = base64.urlsafe_b64encode(json.dumps(authorization).encode()).decode().rstrip("=")
    url = f"https://localhost:{cli.relay.port}/event/realtime"
    offered = ("aws-appsync-event-ws", f"header-{token}")
    async with cli.http.ws_connect(url, protocols=offered) as socket:
        await socket.send_json({"type": "connection_init"})
        await socket.send_json(
            {
                "type": "subscribe",
                "id": "01a20eae5534089d837cfd47",
                "channel": "/sst/app/dev/in",
                "authorization": authorization,
            }
        )
        async for message in socket:
            frame = json.loads(message.data)
            if frame["type"] == "subscribe_success":
                ready.set()
            elif frame["type"] == "data":
                await cli.take(frame["event"])
