"""Debuggers of a few lines: the Debug Adapter Protocol and the inspector protocol of Node.js."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp


class Dap:
    """What an editor says to debugpy (Debug Adapter Protocol)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._heard: list[dict[str, Any]] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def attached(cls, port: int, *breakpoints: tuple[Path, int]) -> AsyncIterator[Dap]:
        """Attached, with breakpoints by file and line; detached at the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        dap = cls(reader, writer)
        try:
            await dap.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
            attaching = dap.say("attach", justMyCode=False)
            await dap.event("initialized")
            for file, line in breakpoints:
                source = {"path": str(file), "name": file.name}
                await dap.ask("setBreakpoints", source=source, breakpoints=[{"line": line}])
            await dap.ask("configurationDone")
            await dap.answer(attaching)
            yield dap
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def say(self, command: str, **arguments: Any) -> int:
        number = next(self._numbers)
        said = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(said).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return number

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return await self.answer(self.say(command, **arguments))

    async def answer(self, number: int) -> dict[str, Any]:
        said = await self._find(lambda each: each.get("request_seq") == number)
        assert said["success"], said
        return said.get("body") or {}

    async def event(self, name: str) -> dict[str, Any]:
        said = await self._find(lambda each: each.get("event") == name)
        return said.get("body") or {}

    async def stopped_at(self) -> tuple[str, int]:
        """The function and line of the breakpoint that is hit, now or when it is."""
        thread = (await self.event("stopped"))["threadId"]
        frame = (await self.ask("stackTrace", threadId=thread))["stackFrames"][0]
        self._thread = thread
        return frame["name"], frame["line"]

    async def go_on(self) -> None:
        """Lets it go on; nobody may be left to say so, if the process ends behind it."""
        self.say("continue", threadId=self._thread)
        await self._writer.drain()

    async def _find(self, wanted: Any) -> dict[str, Any]:
        for each in self._heard:
            if wanted(each):
                self._heard.remove(each)
                return each
        while True:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            size = int(head.lower().split("content-length:")[1].split()[0])
            said = json.loads(await self._reader.readexactly(size))
            if wanted(said):
                return said
            self._heard.append(said)


class Inspector:
    """What an editor says to Node.js (Chrome DevTools Protocol)."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._heard: list[dict[str, Any]] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def attached(cls, port: int, *breakpoints: tuple[Path, int]) -> AsyncIterator[Inspector]:
        """Attached, with breakpoints by file and line; detached at the end."""
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                [target] = await answer.json(content_type=None)
            url = target["webSocketDebuggerUrl"]
            assert f":{port}/" in url, "the URL leads past the door"
            async with http.ws_connect(url, max_msg_size=0) as socket:
                inspector = cls(socket)
                await inspector.ask("Runtime.enable")
                await inspector.ask("Debugger.enable")
                for file, line in breakpoints:
                    where = {"url": file.as_uri(), "lineNumber": line - 1}
                    await inspector.ask("Debugger.setBreakpointByUrl", **where)
                await inspector.ask("Runtime.runIfWaitingForDebugger")
                yield inspector

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await self._find(lambda each: each.get("id") == number)
        assert "error" not in said, said
        return said["result"]

    async def stopped_at(self) -> tuple[str, int]:
        said = await self._find(lambda each: each.get("method") == "Debugger.paused")
        frame = said["params"]["callFrames"][0]
        return frame["functionName"], frame["location"]["lineNumber"] + 1

    async def go_on(self) -> None:
        """Lets it go on; nobody may be left to say so, if the process ends behind it."""
        await self._socket.send_json({"id": next(self._numbers), "method": "Debugger.resume"})

    async def _find(self, wanted: Any) -> dict[str, Any]:
        for each in self._heard:
            if wanted(each):
                self._heard.remove(each)
                return each
        while True:
            said = await self._socket.receive_json()
            if wanted(said):
                return said
            self._heard.append(said)
