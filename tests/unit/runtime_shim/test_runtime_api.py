from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterable
from typing import Any

import pytest

from runtime_shim.errors import RuntimeApiLost
from runtime_shim.http_messages import encode_message
from runtime_shim.runtime_api import Answer, Invocation, RuntimeApiClient

INVOCATION = Invocation("req", {"Lambda-Runtime-Invocation-Id": "n"}, b"{}", 0.0, 1.0)
EVENT = {"Lambda-Runtime-Aws-Request-Id": "req"}


class Scripted:
    """Stands for the connections: replies in order; an exception is raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, replies: Iterable[Any]) -> None:
        self.replies = list(replies)
        self.sent: list[bytes] = []
        self.connections = 0
        monkeypatch.setattr(asyncio, "open_connection", self._open)

    async def _open(self, host: str, port: int, *, limit: int) -> tuple[Any, Any]:
        self.connections += 1
        reader, server = asyncio.StreamReader(limit=limit), self

        class Writer:
            transport = type("T", (), {"abort": staticmethod(lambda: None)})

            def write(self, data: bytes) -> None:
                server.sent.append(data)
                reply = server.replies.pop(0)
                if isinstance(reply, Exception):
                    raise reply
                if reply == b"":
                    reader.feed_eof()
                else:
                    reader.feed_data(reply)

            async def drain(self) -> None:
                return

        return reader, Writer()


def reply(status: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    return encode_message(f"HTTP/1.1 {status}", headers or {}, body)


async def test_an_event_comes_with_its_headers_and_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadline = str(int((time.time() + 20.0) * 1000))
    headers = EVENT | {"Lambda-Runtime-Deadline-Ms": deadline, "Connection": "keep-alive"}
    api = Scripted(monkeypatch, [reply("200 OK", headers, b'{"a":1}')])
    invocation = await RuntimeApiClient("127.0.0.1:9001").next()
    assert (invocation.request_id, invocation.body) == ("req", b'{"a":1}')
    assert 19.0 < invocation.deadline - invocation.received <= 20.0
    assert "Connection" not in invocation.headers
    assert "Content-Length" not in invocation.headers
    assert invocation.header("lambda-runtime-deadline-ms") == deadline
    (sent,) = api.sent
    assert sent.startswith(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n")
    assert b"Host: 127.0.0.1:9001\r\n" in sent


@pytest.mark.parametrize("text", [None, "", "soon"])
async def test_an_event_without_a_deadline_has_no_end(
    monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    headers = EVENT | ({} if text is None else {"Lambda-Runtime-Deadline-Ms": text})
    Scripted(monkeypatch, [reply("200 OK", headers)])
    assert (await RuntimeApiClient("127.0.0.1:9001").next()).deadline == math.inf


async def test_an_address_may_have_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Scripted(monkeypatch, [reply("200 OK", EVENT)])
    await RuntimeApiClient("127.0.0.1:9001/lambda/w").next()
    assert api.sent[0].startswith(b"GET /lambda/w/2018-06-01/runtime/invocation/next ")


async def test_a_request_that_came_too_early_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime_shim.runtime_api.NEXT_PAUSE", 0.0)
    Scripted(monkeypatch, [reply("403 Forbidden"), reply("200 OK", EVENT)])
    assert (await RuntimeApiClient("127.0.0.1:9001").next()).request_id == "req"


@pytest.mark.parametrize(
    "replies",
    [
        [reply("500 Internal Server Error")],
        [reply("403 Forbidden")] * 5,
        [reply("200 OK")],
        [ConnectionRefusedError(111, "refused")],
        [b""],
        [b"SSH-2.0\r\n\r\n"],
    ],
)
async def test_an_api_that_gives_no_event_is_lost(
    monkeypatch: pytest.MonkeyPatch, replies: list[Any]
) -> None:
    monkeypatch.setattr("runtime_shim.runtime_api.NEXT_PAUSE", 0.0)
    Scripted(monkeypatch, replies)
    with pytest.raises(RuntimeApiLost):
        await RuntimeApiClient("127.0.0.1:9001").next()


async def test_a_kept_connection_that_ended_is_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Scripted(monkeypatch, [reply("200 OK", EVENT), b"", reply("202 Accepted")])
    client = RuntimeApiClient("127.0.0.1:9001")
    await client.next()
    assert await client.answer(INVOCATION, Answer(b"1")) == 202
    assert api.connections == 2
    assert api.sent[1] == api.sent[2]


async def test_a_new_connection_that_ends_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Scripted(monkeypatch, [b""])
    with pytest.raises(RuntimeApiLost):
        await RuntimeApiClient("127.0.0.1:9001").answer(INVOCATION, Answer(b"1"))
    assert api.connections == 1


@pytest.mark.parametrize(
    ("answer", "line", "error_type"),
    [
        (Answer(b"1"), b"POST /2018-06-01/runtime/invocation/req/response HTTP/1.1\r\n", None),
        (
            Answer.error("LiveBridge.ConnectTimeout", "why"),
            b"POST /2018-06-01/runtime/invocation/req/error HTTP/1.1\r\n",
            b"Lambda-Runtime-Function-Error-Type: LiveBridge.ConnectTimeout\r\n",
        ),
    ],
)
async def test_an_answer_goes_where_it_belongs_with_the_nonce(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, line: bytes, error_type: bytes | None
) -> None:
    api = Scripted(monkeypatch, [reply("202 Accepted")])
    await RuntimeApiClient("127.0.0.1:9001").answer(INVOCATION, answer)
    (sent,) = api.sent
    assert sent.startswith(line)
    assert sent.endswith(answer.body)
    assert b"Content-Type: application/json\r\n" in sent
    assert b"Lambda-Runtime-Invocation-Id: n\r\n" in sent
    assert (error_type is not None) is (b"Error-Type" in sent)
    assert error_type is None or error_type in sent


async def test_an_init_error_names_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Scripted(monkeypatch, [reply("202 Accepted")])
    await RuntimeApiClient("127.0.0.1:9001").fail_init(Answer.error("LiveBridge.X", "why"))
    assert api.sent[0].startswith(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n")
    assert b"LiveBridge.X\r\n" in api.sent[0]


async def test_a_connection_that_wants_to_close_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = EVENT | {"Connection": "close"}
    api = Scripted(monkeypatch, [reply("200 OK", headers), reply("202 Accepted")])
    client = RuntimeApiClient("127.0.0.1:9001")
    await client.next()
    await client.answer(INVOCATION, Answer(b"1"))
    assert api.connections == 2
    client.close()


def test_an_error_is_what_lambdas_callers_know() -> None:
    answer = Answer.error("T", "m")
    assert json.loads(answer.body) == {"errorType": "T", "errorMessage": "m", "stackTrace": []}
    assert answer.is_error


def test_neither_events_nor_answers_show_in_a_log() -> None:
    assert "secret" not in repr(Invocation("r", {}, b"secret", 0.0, 1.0))
    assert "secret" not in repr(Answer(b"secret"))
