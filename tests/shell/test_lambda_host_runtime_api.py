"""The Runtime API over real HTTP, spoken to byte by byte where it matters."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from natless.lambda_host.runtime_api import RuntimeApi
from natless.lambda_host.runtime_session import MAX_PAYLOAD_BYTES, AnswerKind, Event

EVENT = Event(
    "r-1",
    {
        "Lambda-Runtime-Aws-Request-Id": "r-1",
        "Lambda-Runtime-Deadline-Ms": "1542409706888",
        "Lambda-Runtime-Client-Context": "",
        "Lambda-Runtime-Invocation-Id": "nonce",
    },
    b'{"n":1}',
)
ROOT = "/2018-06-01/runtime"


@pytest.fixture
async def api() -> AsyncIterator[RuntimeApi]:
    async with RuntimeApi(socket.create_server(("127.0.0.1", 0))) as served:
        yield served


@pytest.fixture
async def http(api: RuntimeApi) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{api.address}") as session:
        yield session


async def take(api: RuntimeApi, http: aiohttp.ClientSession, event: Event = EVENT):
    """Lets the runtime take ``event``; the future of its answer."""
    asking = asyncio.create_task(http.get(f"{ROOT}/invocation/next"))
    await api.when_idle()
    posted = api.offer(event)
    reply = await asking
    assert reply.status == 200
    return posted, reply


async def raw(api: RuntimeApi, request: bytes) -> bytes:
    """Sends bytes, reads until the server closes."""
    host, _, port = api.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    return reply


async def test_next_waits_for_an_event_and_hands_it_out_with_its_length(api, http):
    _, reply = await take(api, http)
    assert await reply.read() == b'{"n":1}'
    assert reply.headers["Content-Length"] == "7"
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Lambda-Runtime-Deadline-Ms"] == "1542409706888"
    assert "Transfer-Encoding" not in reply.headers
    assert "Content-Encoding" not in reply.headers


async def test_empty_headers_are_left_out(api, http):
    _, reply = await take(api, http)
    assert "Lambda-Runtime-Client-Context" not in reply.headers


async def test_a_large_event_has_a_length_too(api, http):
    _, reply = await take(api, http, Event("r-1", {}, b"x" * 6_000_000))
    assert reply.headers["Content-Length"] == "6000000"
    assert len(await reply.read()) == 6_000_000


async def test_the_first_next_ends_the_initialization(api, http):
    assert not api.initialized.done()
    asking = asyncio.create_task(http.get(f"{ROOT}/invocation/next"))
    await api.initialized
    assert api.is_idle
    api.offer(EVENT)
    await asking


async def test_a_response_is_taken_and_acknowledged_as_lambda_does(api, http):
    posted, _ = await take(api, http)
    async with http.post(f"{ROOT}/invocation/r-1/response", data=b'"done"') as reply:
        assert reply.status == 202
        assert await reply.read() == b'{"status":"OK"}\n'
    answer = posted.result()
    assert (answer.kind, answer.body, answer.is_error) == (AnswerKind.RESPONSE, b'"done"', False)


async def test_an_error_is_taken_with_its_type(api, http):
    posted, _ = await take(api, http)
    async with http.post(
        f"{ROOT}/invocation/r-1/error",
        data=b'{"errorMessage":"no"}',
        headers={"Lambda-Runtime-Function-Error-Type": "Runtime.MyError"},
    ) as reply:
        assert reply.status == 202
    answer = posted.result()
    assert (answer.error_type, answer.is_error) == ("Runtime.MyError", True)


async def test_asking_again_gives_the_same_event(api, http):
    await take(api, http)
    async with http.get(f"{ROOT}/invocation/next") as reply:
        assert await reply.read() == EVENT.body
        assert reply.headers["Lambda-Runtime-Aws-Request-Id"] == "r-1"


async def test_an_event_goes_to_the_connection_that_asked_last_when_the_first_is_lost(api, http):
    host, _, port = api.address.partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {ROOT}/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await api.when_idle()
    writer.transport.abort()
    _, reply = await take(api, http)
    assert await reply.read() == EVENT.body


async def test_after_an_answer_the_next_event_can_be_asked_for(api, http):
    await take(api, http)
    async with http.post(f"{ROOT}/invocation/r-1/response", data=b"1"):
        pass
    assert not api.is_idle
    posted, reply = await take(api, http, Event("r-2", {}, b"2"))
    assert await reply.read() == b"2"
    assert not posted.done()


@pytest.mark.parametrize("door", ["response", "error"])
async def test_an_unknown_id_is_answered_with_400(api, http, door):
    await take(api, http)
    async with http.post(f"{ROOT}/invocation/other/{door}", data=b"1") as reply:
        assert reply.status == 400
        assert (await reply.json())["errorType"] == "InvalidRequestID"


async def test_a_second_response_is_answered_with_403(api, http):
    posted, _ = await take(api, http)
    for expected in (202, 403):
        async with http.post(f"{ROOT}/invocation/r-1/response", data=str(expected)) as reply:
            assert reply.status == expected
    assert posted.result().body == b"202", "the first one counts"


async def test_another_invocation_id_is_answered_with_410_and_the_right_one_still_counts(api, http):
    posted, _ = await take(api, http)
    for echo, expected in (("older", 410), ("nonce", 202)):
        headers = {"lambda-runtime-invocation-id": echo}
        async with http.post(
            f"{ROOT}/invocation/r-1/response", data=echo, headers=headers
        ) as reply:
            assert reply.status == expected
    assert posted.result().body == b"nonce"


async def test_an_unknown_response_mode_is_answered_with_400_and_fails_the_invocation(api, http):
    posted, _ = await take(api, http)
    headers = {"Lambda-Runtime-Function-Response-Mode": "buffered"}
    async with http.post(f"{ROOT}/invocation/r-1/response", data=b"1", headers=headers) as reply:
        assert reply.status == 400
        assert (await reply.json())["errorType"] == "InvalidFunctionResponseMode"
    assert posted.result().error_type == "Runtime.InvalidResponseModeHeader"


async def test_an_init_error_is_taken_before_the_first_next_only(api, http):
    async with http.post(
        f"{ROOT}/init/error",
        data=b'{"errorType":"X"}',
        headers={"Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError"},
    ) as reply:
        assert reply.status == 202
    answer = api.init_error.result()
    assert (answer.body, answer.error_type) == (b'{"errorType":"X"}', "Runtime.ImportModuleError")
    async with http.get(f"{ROOT}/invocation/next") as reply:
        assert reply.status == 403


async def test_an_init_error_that_is_too_large_is_refused(api, http):
    async with http.post(f"{ROOT}/init/error", data=io.BytesIO(b"x" * 7_000_000)) as reply:
        assert reply.status == 413
    assert not api.init_error.done()


async def test_an_init_error_that_breaks_off_is_none(api):
    host, _, port = api.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {ROOT}/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nshort"
    writer.write(head.encode())
    writer.write_eof()
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    assert not api.init_error.done()
    writer.close()
    await writer.wait_closed()


async def test_an_init_error_after_the_first_next_is_answered_with_403(api, http):
    await take(api, http)
    async with http.post(f"{ROOT}/init/error", data=b"{}") as reply:
        assert reply.status == 403
    assert not api.init_error.done()


async def test_a_response_of_the_greatest_size_is_taken(api, http):
    posted, _ = await take(api, http)
    body = io.BytesIO(b"x" * MAX_PAYLOAD_BYTES)
    async with http.post(f"{ROOT}/invocation/r-1/response", data=body) as reply:
        assert reply.status == 202
    assert len(posted.result().body) == MAX_PAYLOAD_BYTES


async def chunks(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 65536):
        yield b"x" * 65536
    yield b"x" * (total % 65536)


async def test_a_chunked_response_without_a_length_is_taken(api, http):
    posted, _ = await take(api, http)
    async with http.post(f"{ROOT}/invocation/r-1/response", data=chunks(300_000)) as reply:
        assert reply.status == 202
    assert len(posted.result().body) == 300_000


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_larger_response_is_refused_and_fails_the_invocation(api, http, is_chunked):
    posted, _ = await take(api, http)
    size = MAX_PAYLOAD_BYTES + 1
    data = chunks(size) if is_chunked else io.BytesIO(b"x" * size)
    async with http.post(f"{ROOT}/invocation/r-1/response", data=data) as reply:
        assert reply.status == 413
        assert (await reply.json())["errorType"] == "RequestEntityTooLarge"
    answer = posted.result()
    assert answer.error_type == "Function.ResponseSizeTooLarge"
    assert f"({size} bytes)" in json.loads(answer.body)["errorMessage"]


async def test_an_announced_length_is_told_although_nobody_reads_that_far(api, http):
    posted, _ = await take(api, http)
    data = io.BytesIO(b"x" * 7_000_000)
    async with http.post(f"{ROOT}/invocation/r-1/response", data=data) as reply:
        assert reply.status == 413
    assert b"(7000000 bytes)" in posted.result().body


async def test_a_runtime_can_go_on_after_a_response_that_was_too_large(api, http):
    await take(api, http)
    async with http.post(
        f"{ROOT}/invocation/r-1/response", data=io.BytesIO(b"x" * (MAX_PAYLOAD_BYTES + 1))
    ) as reply:
        assert reply.status == 413
    _, reply = await take(api, http, Event("r-2", {}, b"2"))
    assert await reply.read() == b"2"


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_a_response_that_breaks_off_fails_the_invocation(api, http, framing):
    posted, _ = await take(api, http)
    host, _, port = api.address.partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {ROOT}/invocation/r-1/response HTTP/1.1\r\nHost: x\r\n".encode()
        + framing
        + b"\r\n\r\n4\r\n"
    )
    await writer.drain()
    writer.transport.abort()
    assert (await posted).error_type == "Runtime.TruncatedResponse"


async def test_a_client_that_expects_a_go_ahead_gets_it_before_the_body(api, http):
    posted, _ = await take(api, http)
    host, _, port = api.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {ROOT}/invocation/r-1/response HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        "Expect: 100-continue\r\n\r\n".encode()
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"123")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
    assert posted.result().body == b"123"
    writer.close()
    await writer.wait_closed()


async def test_a_compressed_response_is_not_unpacked(api, http):
    posted, _ = await take(api, http)
    async with http.post(
        f"{ROOT}/invocation/r-1/response",
        data=b"\x1f\x8b not really",
        headers={"Content-Encoding": "gzip"},
    ) as reply:
        assert reply.status == 202
    assert posted.result().body == b"\x1f\x8b not really"


async def test_headers_of_a_megabyte_are_taken_as_the_runtimes_send_their_causes_there(api, http):
    posted, _ = await take(api, http)
    headers = {"Lambda-Runtime-Function-XRay-Error-Cause": "x" * 1_000_000}
    async with http.post(f"{ROOT}/invocation/r-1/error", data=b"{}", headers=headers) as reply:
        assert reply.status == 202
    assert posted.done()


async def test_the_ping_answers(api, http):
    async with http.get("/2018-06-01/ping") as reply:
        assert (reply.status, await reply.text()) == (200, "pong")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", f"{ROOT}/restore/next", 404),
        ("POST", f"{ROOT}/invocation/next", 405),
        ("GET", f"{ROOT}/invocation/r-1/response", 405),
        ("GET", f"{ROOT}/init/error", 405),
        ("POST", f"{ROOT}/invocation/r-1/other", 404),
    ],
)
async def test_what_is_no_call_of_the_runtime_api_is_told_so(http, method, path, status):
    async with http.request(method, path) as reply:
        assert reply.status == status


async def test_closing_lets_a_waiting_runtime_go_at_once():
    api = RuntimeApi(socket.create_server(("127.0.0.1", 0)))
    await api.__aenter__()
    request = f"GET {ROOT}/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    waiting = asyncio.create_task(raw(api, request))
    await api.initialized
    await api.close()
    await api.close()
    assert await waiting == b""
    with pytest.raises(ConnectionError):
        await raw(api, request)


# -- streams ---------------------------------------------------------------------------------------


class Taker:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def begin(self, headers) -> None:
        self.headers = dict(headers)

    async def write(self, piece: bytes) -> None:
        self.pieces.put_nowait(piece)


STREAM_HEAD = (
    f"POST {ROOT}/invocation/r-1/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    "Content-Type: text/plain\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
).encode()


async def stream(api: RuntimeApi, http, sink: Taker | None):
    """A runtime that begins to stream: its connection, and the future of its answer."""
    asking = asyncio.create_task(http.get(f"{ROOT}/invocation/next"))
    await api.when_idle()
    posted = api.offer(EVENT, sink=sink)
    await asking
    host, _, port = api.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(STREAM_HEAD)
    return reader, writer, posted


async def test_a_stream_reaches_its_taker_piece_by_piece(api, http):
    sink = Taker()
    reader, writer, posted = await stream(api, http, sink)
    for piece in (b"one", b"two"):
        writer.write(b"3\r\n" + piece + b"\r\n")
        assert await sink.pieces.get() == piece
        assert not posted.done()
    assert sink.headers["content-type"] == "text/plain"
    writer.write(b"0\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
    answer = await posted
    assert (answer.is_error, answer.body, answer.streamed_bytes) == (False, b"", 6)
    writer.close()
    await writer.wait_closed()


async def test_a_stream_that_nobody_takes_is_collected(api, http):
    _, writer, posted = await stream(api, http, None)
    writer.write(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    answer = await posted
    assert (answer.body, answer.streamed_bytes) == (b"onetwo", None)
    writer.close()
    await writer.wait_closed()


async def test_a_stream_that_breaks_off_says_how_far_it_came(api, http):
    sink = Taker()
    _, writer, posted = await stream(api, http, sink)
    writer.write(b"3\r\none\r\n")
    await sink.pieces.get()
    writer.transport.abort()
    answer = await posted
    assert (answer.error_type, answer.streamed_bytes) == ("Runtime.TruncatedResponse", 3)


async def test_a_stream_may_have_just_so_many_bytes():
    listening = socket.create_server(("127.0.0.1", 0))
    async with (
        RuntimeApi(listening, stream_bytes=5) as api,
        aiohttp.ClientSession(f"http://{api.address}") as http,
    ):
        sink = Taker()
        reader, writer, posted = await stream(api, http, sink)
        writer.write(b"5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
        answer = await posted
        assert (answer.error_type, answer.streamed_bytes) == ("Function.ResponseSizeTooLarge", 5)
        assert b"(5 bytes)" in answer.body
        writer.close()
        await writer.wait_closed()


# -- the wire --------------------------------------------------------------------------------------


async def test_a_client_context_of_many_lines_is_one_header(api, http):
    event = Event("r-1", {"Lambda-Runtime-Client-Context": '{\n "a": 1\n}'}, b"1")
    _, reply = await take(api, http, event)
    assert json.loads(reply.headers["Lambda-Runtime-Client-Context"]) == {"a": 1}


@pytest.mark.parametrize(
    "request_",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nbreaks off"],
)
async def test_what_is_no_http_is_told_so_and_costs_the_connection(api, request_):
    host, _, port = api.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_)
    writer.write_eof()
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


async def test_a_connection_is_kept_and_given_up_when_the_client_says_so(api):
    ping = "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n{}\r\n"
    reply = await raw(api, (ping.format("") + ping.format("Connection: close\r\n")).encode())
    assert reply.count(b"HTTP/1.1 200 OK") == 2
    assert reply.count(b"Connection: close") == 1
