"""Publishing over a connection that is kept, and what comes of it in one word."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from event_protocol.phases import Outcome
from runtime_shim.budgets import Allowance, Budgets
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.errors import PhaseFailed
from runtime_shim.http_messages import encode_message, read_body, read_head
from runtime_shim.http_publish import HttpPublisher
from runtime_shim.timing import SpanLog
from tests.shell.shim_peers import make_certificate

CONFIG = ShimConfig(
    runtime_api="127.0.0.1:9001",
    realtime=Endpoint("h"),
    http_host="h",
    api_key="da2-z",
    ca=None,
    app="app",
    stage="dev",
    namespace="sst",
    function_id="fn",
    worker_id="w" * 32,
)
ACCEPTED = json.dumps({"failed": [], "successful": [{"identifier": "e", "index": 0}]}).encode()
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FAST = Budgets(publish_tcp=0.5, publish_tls=0.2, publish_answer=0.2)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_body(reader, await read_head(reader))
    writer.write(encode_message("HTTP/1.1 200 OK", {}, ACCEPTED))
    await writer.drain()


class Stage:
    def __init__(self) -> None:
        self.connections = 0
        self.spans = SpanLog()

    @contextlib.asynccontextmanager
    async def publisher(
        self, tmp_path: Path, behave: Behaviour, *, keeps: bool = True, tls: bool = True
    ) -> AsyncIterator[HttpPublisher]:
        ca, context = make_certificate(tmp_path, "localhost")
        served: list[asyncio.Event] = []
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            served.append(asyncio.Event())
            is_over = served[-1]
            writers.append(writer)
            with contextlib.suppress(EOFError, OSError, ValueError):
                await behave(reader, writer)
            writer.close()
            is_over.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context if tls else None)
        port = server.sockets[0].getsockname()[1]
        config = replace(CONFIG, http_host=f"localhost:{port}")
        trust = ssl.create_default_context(cafile=ca)
        publisher = HttpPublisher(config, context=trust, keeps=keeps)
        try:
            yield publisher
        finally:
            publisher.close()
            server.close()
            for writer in writers:
                writer.transport.abort()
            for each in served:
                await each.wait()

    async def publish(self, publisher: HttpPublisher) -> None:
        detail: dict[str, Any] = {"packet": "next"}
        allowance = Allowance(FAST)
        await publisher.publish("{}", allowance=allowance, spans=self.spans, detail=detail)

    @property
    def steps(self) -> list[str]:
        return [span.detail["step"] for span in self.spans.spans]

    @property
    def results(self) -> list[str]:
        return [span.detail["result"] for span in self.spans.spans]


async def test_a_kept_connection_is_used_again(tmp_path: Path) -> None:
    async def again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await answer(reader, writer)

    stage = Stage()
    async with stage.publisher(tmp_path, again) as publisher:
        for _ in range(3):
            await stage.publish(publisher)
    assert stage.connections == 1
    assert stage.steps == ["tcp", "tls", "answer", "answer", "answer"]


async def test_one_that_is_not_to_be_kept_is_not(tmp_path: Path) -> None:
    stage = Stage()
    async with stage.publisher(tmp_path, answer, keeps=False) as publisher:
        for _ in range(2):
            await stage.publish(publisher)
    assert stage.connections == 2
    assert stage.steps == ["tcp", "tls", "answer"] * 2


async def test_a_kept_connection_that_ended_unseen_costs_no_event(tmp_path: Path) -> None:
    async def cut_at_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer)
        if stage.connections == 1:
            await read_body(reader, await read_head(reader))  # taken, and never answered

    stage = Stage()
    async with stage.publisher(tmp_path, cut_at_the_second) as publisher:
        for _ in range(2):
            await stage.publish(publisher)
    assert stage.connections == 2
    assert stage.results == ["ok", "ok", "ok", "closed", "ok", "ok", "ok"]


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def status(code: int) -> Behaviour:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_body(reader, await read_head(reader))
        writer.write(encode_message(f"HTTP/1.1 {code} No", {}, b"{}"))
        await writer.drain()

    return refuse


@pytest.mark.parametrize(
    ("behave", "tls", "result", "outcome"),
    [
        (silent, False, "timeout:tls", Outcome.TIMEOUT),
        (silent, True, "timeout:answer", Outcome.TIMEOUT),
        (status(401), True, "http:401", Outcome.HTTP_ERROR),
        (status(503), True, "http:503", Outcome.HTTP_ERROR),
    ],
    ids=["tls", "answer", "401", "503"],
)
async def test_what_came_of_a_publish_is_one_word(
    tmp_path: Path, behave: Behaviour, tls: bool, result: str, outcome: Outcome
) -> None:
    stage = Stage()
    async with stage.publisher(tmp_path, behave, tls=tls) as publisher:
        with pytest.raises(PhaseFailed) as caught:
            await stage.publish(publisher)
    assert stage.results[-1] == result
    assert caught.value.span.outcome is outcome
    budgets = {"timeout:tls": "publish.tls", "timeout:answer": "publish.answer"}
    if result in budgets:
        assert caught.value.span.budget == budgets[result]


async def test_nobody_listening_is_a_refusal() -> None:
    spans = SpanLog()
    config = replace(CONFIG, http_host="localhost:1")
    publisher = HttpPublisher(config, context=ssl.create_default_context())
    with pytest.raises(PhaseFailed):
        await publisher.publish("{}", allowance=Allowance(FAST), spans=spans, detail={})
    assert [span.detail["result"] for span in spans.spans] == ["refused"]
