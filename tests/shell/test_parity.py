"""What clients of AWS count on and no client's own script shows; docs/parity.md names these."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from natless.certificates import Authority, aws_names
from tests.golden.relay import API_KEY, LABEL, REGION, WRONG_API_KEY, RunningRelay, start_relay

HTTP_HOST = f"{LABEL}.appsync-api.{REGION}.amazonaws.com"
REALTIME_HOST = f"{LABEL}.appsync-realtime-api.{REGION}.amazonaws.com"
KEY = {"x-api-key": API_KEY}
ANSWER_BUDGET = 10.0  # seconds
JSON = {"content-type": "application/json"}
DENIED = {
    "errorType": "UnauthorizedException",
    "message": "You are not authorized to make this call.",
}


def token(authorization: dict[str, str]) -> str:
    return "header-" + base64.urlsafe_b64encode(json.dumps(authorization).encode()).decode().rstrip(
        "="
    )


class Stage:
    """A running relay and ways to talk to it."""

    def __init__(self, relay: RunningRelay, ca: Path) -> None:
        self.port = relay.port
        self.tls = ssl.create_default_context(cafile=str(ca))

    @asynccontextmanager
    async def socket(
        self,
        authorization: dict[str, str] | None = None,
        *,
        host: str = REALTIME_HOST,
        **options: Any,
    ) -> AsyncIterator[ClientConnection]:
        offered = ["aws-appsync-event-ws"]
        if authorization is not None:
            offered.append(token(authorization))
        async with websockets.connect(
            f"wss://{host}/event/realtime",
            host="127.0.0.1",
            port=self.port,
            ssl=self.tls,
            subprotocols=[websockets.Subprotocol(each) for each in offered],
            **options,
        ) as socket:
            yield socket

    @asynccontextmanager
    async def request(
        self, method: str, path: str = "/event", *, host: str = HTTP_HOST, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        options["headers"] = {"host": host, **options.get("headers", {})}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method,
                f"https://localhost:{self.port}{path}",
                ssl=self.tls,
                server_hostname=host,
                **options,
            ) as response,
        ):
            yield response


Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    authority = Authority.for_user(tmp_path / "ca")
    served = authority.issue([*aws_names(REGION), "localhost"], directory=tmp_path)
    async with AsyncExitStack() as stack:

        async def start_with(*options: str) -> Stage:
            relay = await stack.enter_async_context(
                start_relay(
                    certificate=served, ca=authority.ca_path, directory=tmp_path, options=options
                )
            )
            return Stage(relay, authority.ca_path)

        yield start_with


async def say(socket: ClientConnection, **frame: Any) -> None:
    await socket.send(json.dumps(frame))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(ANSWER_BUDGET):
        frame: dict[str, Any] = json.loads(await socket.recv())
    return frame


async def subscribe(socket: ClientConnection, identifier: str, channel: str) -> dict[str, Any]:
    await say(socket, type="subscribe", id=identifier, channel=channel, authorization=KEY)
    return await hear(socket)


async def publish(socket: ClientConnection, channel: str, *events: str) -> None:
    await say(socket, type="publish", id="p", channel=channel, events=events, authorization=KEY)


async def test_offers_may_come_as_repeated_headers(start: Start) -> None:
    stage = await start()
    other = [("Sec-WebSocket-Protocol", token(KEY))]
    async with stage.socket(additional_headers=other) as socket:
        await say(socket, type="connection_init")
        assert (await hear(socket))["type"] == "connection_ack"


@pytest.mark.parametrize(
    "named",
    [HTTP_HOST, REALTIME_HOST, "events.example.com", None],
    ids=["http", "realtime", "custom", "missing"],
)
async def test_the_host_in_the_connect_object_may_be_any_of_the_api_or_missing(
    start: Start, named: str | None
) -> None:
    stage = await start()
    async with stage.socket(KEY if named is None else {"host": named, **KEY}) as socket:
        await say(socket, type="connection_init")
        assert (await hear(socket))["type"] == "connection_ack"


async def test_an_upgrade_is_routed_by_its_path_and_not_by_its_host(start: Start) -> None:
    stage = await start()
    async with stage.socket(host=HTTP_HOST, additional_headers=KEY) as socket:
        assert socket.subprotocol == "aws-appsync-event-ws"
        assert await subscribe(socket, "s", "/default/x") == {
            "id": "s",
            "type": "subscribe_success",
        }


async def test_no_keep_alive_comes_before_the_ack(start: Start) -> None:
    stage = await start("--time-scale", "0.001")  # ka every 60 ms
    async with stage.socket(KEY) as socket:
        await say(socket, type="connection_init")
        frames = [await hear(socket) for _ in range(4)]
    assert frames[0] == {"type": "connection_ack", "connectionTimeoutMs": 300}
    assert frames[1:] == [{"type": "ka"}] * 3


async def test_a_second_init_is_acked_again(start: Start) -> None:
    stage = await start()
    async with stage.socket(KEY) as socket:
        await say(socket, type="connection_init")
        await say(socket, type="connection_init", payload={"extra": True})
        kinds = [(await hear(socket))["type"] for _ in range(3)]
    assert kinds == ["connection_ack", "ka", "connection_ack"]


async def test_pings_are_answered_and_binary_frames_survived(start: Start) -> None:
    stage = await start()
    async with stage.socket(KEY) as socket:
        async with asyncio.timeout(ANSWER_BUDGET):
            await (await socket.ping())
        await socket.send(b"\x00\x01")
        assert (await hear(socket))["type"] == "error"
        assert (await subscribe(socket, "s", "/default/x"))["type"] == "subscribe_success"


async def test_every_operation_is_judged_by_its_own_credentials(start: Start) -> None:
    stage = await start()
    wrong = {"x-api-key": WRONG_API_KEY}
    async with stage.socket(KEY) as socket:
        await say(socket, type="subscribe", id="s", channel="/default/x", authorization=wrong)
        assert await hear(socket) == {"id": "s", "type": "subscribe_error", "errors": [DENIED]}
        await say(
            socket, type="publish", id="p", channel="/default/x", events=["1"], authorization=wrong
        )
        assert await hear(socket) == {"id": "p", "type": "publish_error", "errors": [DENIED]}
        assert (await subscribe(socket, "s", "/default/x"))["type"] == "subscribe_success"


async def test_names_of_credentials_are_read_in_any_case(start: Start) -> None:
    stage = await start()
    async with stage.socket({"X-Api-Key": API_KEY, "Host": HTTP_HOST}) as socket:
        await say(socket, type="connection_init")
        assert (await hear(socket))["type"] == "connection_ack"


async def test_ids_of_128_characters_are_taken_and_longer_ones_refused(start: Start) -> None:
    stage = await start()
    async with stage.socket(KEY) as socket:
        assert (await subscribe(socket, "i" * 128, "/default/x"))["type"] == "subscribe_success"
        answer = await subscribe(socket, "i" * 129, "/default/x")
        assert answer["type"] != "subscribe_success"
        assert len(answer["errors"]) == 1
        assert (await subscribe(socket, "i", "/default/x"))["type"] == "subscribe_success"


async def test_channels_are_compared_with_their_case_and_without_outer_slashes(
    start: Start,
) -> None:
    stage = await start()
    async with stage.socket(KEY) as socket:
        await subscribe(socket, "s", "default/Path/")
        await publish(socket, "/default/path", "1")
        assert (await hear(socket))["type"] == "publish_success"
        await publish(socket, "default/Path", "2")
        assert (await hear(socket))["type"] == "publish_success"
        assert await hear(socket) == {"id": "s", "type": "data", "event": "2"}


async def test_overlapping_subscriptions_each_get_the_event_in_the_order_published(
    start: Start,
) -> None:
    stage = await start()
    async with stage.socket(KEY) as socket:
        await subscribe(socket, "exact", "/default/a/b")
        await subscribe(socket, "wide", "/default/a/*")
        for number in range(3):
            await publish(socket, "/default/a/b", f"[{number},0]", f"[{number},1]")
        frames = [await hear(socket) for _ in range(3 + 12)]
    heard = {"exact": [], "wide": []}
    for frame in frames:
        if frame["type"] == "data":
            heard[frame["id"]].append(json.loads(frame["event"]))
    expected = [[number, index] for number in range(3) for index in range(2)]
    assert heard == {"exact": expected, "wide": expected}


async def test_a_publish_of_nearly_1_2_mb_passes_and_comes_in_frames_of_at_most_240_kb(
    start: Start,
) -> None:
    stage = await start()
    event = json.dumps("x" * 235_000)
    async with stage.socket(KEY) as socket:  # which refuses frames above 1 MiB
        await subscribe(socket, "s", "/default/x")
        await publish(socket, "/default/x", *[event] * 5)
        assert len((await hear(socket))["successful"]) == 5
        for _ in range(5):
            assert (await hear(socket))["event"] == event


async def test_get_on_the_root_is_answered_over_tls(start: Start) -> None:
    stage = await start()
    async with stage.request("GET", "/") as response:
        assert response.status < 500
        await response.read()


async def test_http_tells_partial_failure_with_200_and_both_lists(start: Start) -> None:
    stage = await start()
    body = {"channel": "default/x", "events": ["1", json.dumps("x" * (240 << 10))]}
    async with stage.request("POST", headers=KEY | JSON, data=json.dumps(body)) as response:
        assert response.status == 200
        answer = await response.json()
    assert list(answer) == ["failed", "successful"]
    (failed,) = answer["failed"]
    assert list(failed) == ["code", "identifier", "index", "message"]
    assert failed["code"] == "EventTooLargeException"
    assert [each["index"] for each in answer["successful"]] == [0]


@pytest.mark.parametrize(
    ("headers", "events", "status", "error"),
    [
        ({"x-api-key": WRONG_API_KEY}, ["1"], 401, DENIED),
        ({}, ["1"], 401, {"errorType": "UnauthorizedException"}),
        (KEY, ["1"] * 6, 400, {"errorType": "BadRequestException"}),
        (KEY, [], 400, {"errorType": "BadRequestException"}),
        (KEY, ["no json"], 400, {"errorType": "BadRequestException"}),
    ],
    ids=["wrong key", "no credentials", "six events", "no events", "not JSON"],
)
async def test_every_http_answer_carries_cors_and_the_request_id(
    start: Start, headers: dict[str, str], events: list[str], status: int, error: dict[str, str]
) -> None:
    stage = await start()
    body = json.dumps({"channel": "/default/x", "events": events})
    async with stage.request("POST", headers=headers | JSON, data=body) as response:
        (first,) = (await response.json())["errors"]
        assert response.status == status
        assert error.items() <= first.items()
        assert response.headers["x-amzn-ErrorType"] == error["errorType"]
        assert response.headers["x-amzn-RequestId"]
        assert response.headers["access-control-allow-origin"] == "*"


async def test_a_browsers_preflight_needs_no_credentials(start: Start) -> None:
    stage = await start()
    asked = "content-type,x-api-key,x-amz-user-agent"
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    async with stage.request("OPTIONS", headers=headers) as response:
        assert response.status == 200
        assert response.headers["access-control-allow-origin"] == "*"
        assert "POST" in response.headers["access-control-allow-methods"]
        allowed = response.headers["access-control-allow-headers"].lower()
        assert set(asked.split(",")) <= {each.strip() for each in allowed.split(",")}


async def test_dummy_credentials_pass_where_signatures_are_only_parsed(start: Start) -> None:
    stage = await start("--verify", "parse-only")
    authorization = {
        "host": HTTP_HOST,
        "accept": "application/json, text/javascript",
        "x-amz-date": "20260102T030405Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260102/us-east-1/appsync/aws4_request,"
        f" SignedHeaders=accept;host;x-amz-date, Signature={'0' * 64}",
    }
    async with stage.socket(authorization) as socket:
        await say(socket, type="connection_init")
        assert (await hear(socket))["type"] == "connection_ack"


async def test_a_key_without_the_usual_prefix_opens(start: Start) -> None:
    stage = await start("--api-key", "short")
    async with stage.socket({"x-api-key": "short"}) as socket:
        await say(socket, type="connection_init")
        assert (await hear(socket))["type"] == "connection_ack"


async def test_a_burst_above_25_publishes_a_second_is_taken(start: Start) -> None:
    stage = await start()
    async with stage.socket(KEY) as socket:
        for _ in range(100):
            await publish(socket, "/default/x", "1")
        answers = [await hear(socket) for _ in range(100)]
    assert {answer["type"] for answer in answers} == {"publish_success"}


async def test_answers_to_what_came_with_the_close_go_first(start: Start) -> None:
    stage = await start()
    async with stage.socket(KEY) as socket:
        await subscribe(socket, "s", "/default/x")
        # One write of two frames, as a client does that unsubscribes and closes in one breath.
        transport = socket.transport
        transport.write = _gathered(transport)  # type: ignore[method-assign]
        await say(socket, type="unsubscribe", id="s")
        closing = asyncio.ensure_future(socket.close())
        assert await hear(socket) == {"id": "s", "type": "unsubscribe_success"}
        await closing


def _gathered(transport: asyncio.Transport) -> Callable[[bytes], None]:
    write, held = transport.write, bytearray()

    def gather(data: bytes) -> None:
        held.extend(data)
        if len(held) > len(data):  # the second frame is the close
            write(bytes(held))

    return gather
