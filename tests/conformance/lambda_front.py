"""As much of Lambda's Runtime API as a bridge needs, and the same to the byte every time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.golden.wire import Head, Reader

ANSWER_BUDGET = 30.0  # seconds from an invocation to its answer
PREFIX = "/2018-06-01/runtime/invocation/"


class LambdaFront:
    """Hands invocations to one bridge and takes its answers. Made by :func:`open_front`."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[tuple[str, str]]] = {}
        self.asked = asyncio.Event()

    async def invoke(self, request_id: str, event: str) -> tuple[str, str]:
        """``response`` or ``error``, and the body, for one invocation."""
        answer = self._answers[request_id] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((request_id, event))
        async with asyncio.timeout(ANSWER_BUDGET):
            return await answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads = Reader()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(1 << 16):
                for head in heads.feed(data):
                    assert isinstance(head, Head)
                    writer.write(await self._answer(head))
                    await writer.drain()
        writer.close()

    async def _answer(self, request: Head) -> bytes:
        _, path, _ = request.first.split(" ")
        if path == PREFIX + "next":
            self.asked.set()
            request_id, event = await self._waiting.get()
            return _response(
                "200 OK",
                {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": "1893456000000",
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:0:function:f",
                },
                event,
            )
        request_id, _, kind = path.removeprefix(PREFIX).partition("/")
        self._answers.pop(request_id).set_result((kind, request.body))
        return _response("202 Accepted", {"Content-Type": "application/json"}, '{"status":"OK"}')


def _response(status: str, headers: dict[str, str], body: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    length = f"Content-Length: {len(body.encode())}"
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, length, "", body]).encode()


@asynccontextmanager
async def open_front(listening: socket.socket) -> AsyncIterator[LambdaFront]:
    """Serves on a socket, which may have been made inside a namespace, until the block ends."""
    front = LambdaFront()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(front._serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)
        await task

    server = await asyncio.start_server(serve, sock=listening)
    try:
        yield front
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
