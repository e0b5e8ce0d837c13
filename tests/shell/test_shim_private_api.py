"""The private Runtime API as a runtime client sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp

from runtime_shim.fallbacks.private_api import PrivateRuntimeApi
from runtime_shim.runtime_api import Answer, Invocation
from tests.shell.shim_peers import PATIENCE

INVOCATION = Invocation(
    "req", {"Lambda-Runtime-Aws-Request-Id": "req", "X-Context": "ö"}, b'{"a":1}', 0.0, 1.0
)


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[tuple[PrivateRuntimeApi, aiohttp.ClientSession, str]]:
    api = PrivateRuntimeApi()
    address = await api.start()
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield api, session, f"http://{address}/2018-06-01/runtime"
    finally:
        await api.close()


async def test_an_event_waits_for_its_runtime_and_a_runtime_for_its_event() -> None:
    async with client() as (api, session, root):
        asking = asyncio.ensure_future(session.get(f"{root}/invocation/next"))
        async with asyncio.timeout(PATIENCE):
            await api.is_ready.wait()
        answered = api.offer(INVOCATION)
        async with await asking as response:
            assert response.status == 200
            assert response.headers["Lambda-Runtime-Aws-Request-Id"] == "req"
            assert response.headers["X-Context"] == "ö"
            assert await response.read() == b'{"a":1}'
        async with session.post(f"{root}/invocation/req/response", data=b"1") as response:
            assert (response.status, await response.json()) == (202, {"status": "OK"})
        assert (await answered).body == b"1"


async def test_a_repeated_request_gets_the_same_event_again() -> None:
    async with client() as (api, session, root):
        api.offer(INVOCATION)
        for _ in range(2):
            async with session.get(f"{root}/invocation/next") as response:
                assert await response.read() == b'{"a":1}'


async def test_answers_are_taken_once_and_for_the_current_id_only() -> None:
    async with client() as (api, session, root):
        async with session.post(f"{root}/invocation/req/response", data=b"0") as response:
            assert response.status == 400
        answered = api.offer(INVOCATION)
        statuses = []
        for name, kind in [("other", "response"), ("req", "error"), ("req", "response")]:
            async with session.post(f"{root}/invocation/{name}/{kind}", data=b"1") as response:
                statuses.append(response.status)
        assert statuses == [400, 202, 403]
        assert (await answered).is_error


async def test_what_was_posted_is_handed_on_with_its_type() -> None:
    async with client() as (api, session, root):
        answered = api.offer(INVOCATION)
        headers = {
            "Content-Type": "application/vnd.aws.lambda.error+json",
            "Lambda-Runtime-Function-Error-Type": "Runtime.X",
        }
        url = f"{root}/invocation/req/error"
        async with session.post(url, data=b"{}", headers=headers) as response:
            assert response.status == 202
        assert await answered == Answer(
            b"{}",
            is_error=True,
            content_type="application/vnd.aws.lambda.error+json",
            error_type="Runtime.X",
        )


async def test_an_init_error_is_kept() -> None:
    async with client() as (api, session, root):
        async with session.post(f"{root}/init/error", data=b'{"errorType":"E"}') as response:
            assert response.status == 202
        assert api.is_ready.is_set()
        assert api.init_error is not None
        assert api.init_error.body == b'{"errorType":"E"}'


async def test_other_paths_are_not_found() -> None:
    async with client() as (_, session, root), session.get(f"{root}/restore/next") as response:
        assert response.status == 404


async def test_a_streamed_answer_that_failed_on_its_way_is_an_error() -> None:
    async with client() as (api, _, root):
        answered = api.offer(INVOCATION)
        host, port = root.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /2018-06-01/runtime/invocation/req/response HTTP/1.1\r\nHost: x\r\n"
            b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
            b"Trailer: Lambda-Runtime-Function-Error-Type\r\n\r\n"
        )
        async with asyncio.timeout(PATIENCE):
            assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"4\r\nhalf\r\n0\r\nLambda-Runtime-Function-Error-Type: E\r\n\r\n")
            assert b"202" in await reader.readuntil(b"\r\n\r\n")
            answer = await answered
        assert (answer.is_error, answer.error_type, answer.body) == (True, "E", b"half")
        writer.close()
        await writer.wait_closed()


async def test_closing_ends_a_runtime_that_waits_for_an_event() -> None:
    async with client() as (api, session, root):
        asking = asyncio.ensure_future(session.get(f"{root}/invocation/next"))
        async with asyncio.timeout(PATIENCE):
            await api.is_ready.wait()
        await api.close()
        with contextlib.suppress(aiohttp.ClientError):
            await asking
        assert asking.done()
