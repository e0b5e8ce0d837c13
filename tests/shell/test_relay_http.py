"""What the publishing door says, to the character."""

import asyncio
import json
import re

import pytest

from event_protocol.limits import Limits
from relay.auth.base import AuthMode
from relay.config import Budgets, NamespaceConfig
from tests.shell.relay_stage import KEY, api_config, start

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}"
NO_MESSAGE = '{\n  "errors" : [ {\n    "errorType" : "UnauthorizedException"\n  } ]\n}'
DENIED = (
    '{"errors":[{"errorType":"UnauthorizedException",'
    '"message":"You are not authorized to make this call."}]}'
)
EXPOSED = (
    "x-amzn-RequestId,x-amzn-ErrorType,x-amz-user-agent,x-amzn-ErrorMessage,Date,"
    "x-amz-schema-version"
)


@pytest.fixture
async def stage(tmp_path):
    async with start(tmp_path) as stage:
        yield stage


def refused(error_type, message):
    return json.dumps(
        {"errors": [{"errorType": error_type, "message": message}]}, separators=(",", ":")
    )


async def test_a_publish_is_answered_with_both_lists(stage):
    status, body = await stage.post("/default/x", "1", '"two"')
    assert status == 200
    assert re.fullmatch(
        rf'{{"failed":\[\],"successful":\[{{"identifier":"{UUID}","index":0}},'
        rf'{{"identifier":"{UUID}","index":1}}\]}}',
        body,
    )


async def test_every_answer_has_the_headers_of_appsync(stage):
    for headers, error_type in ((KEY, None), ({}, "UnauthorizedException")):
        async with stage.request(
            json={"channel": "/default/x", "events": ["1"]}, headers=headers
        ) as answer:
            assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Access-Control-Expose-Headers"] == EXPOSED
            assert re.fullmatch(UUID, answer.headers["x-amzn-RequestId"])
            assert answer.headers.get("x-amzn-ErrorType") == error_type
            assert answer.headers["Date"].endswith(" GMT")
            assert "Server" not in answer.headers
            if error_type is None:
                assert answer.headers["x-amzn-appsync-TokensConsumed"] == "1"


@pytest.mark.parametrize(
    ("document", "headers", "status", "body"),
    [
        ({}, {}, 401, NO_MESSAGE),
        ({}, {"x-api-key": "wrong"}, 401, DENIED),
        ({}, {"authorization": "Bearer wrong"}, 401, DENIED),
        ({"channel": "/nowhere/x"}, KEY, 401, NO_MESSAGE),
        (
            {"events": ["1"] * 6},
            KEY,
            400,
            refused("BadRequestException", "Input exceeded 5 event limit"),
        ),
        (
            {"events": []},
            KEY,
            400,
            refused("BadRequestException", "events must hold at least one event."),
        ),
        (
            {"events": ["1", "nope"]},
            KEY,
            400,
            refused("BadRequestException", "The event at index 1 is not valid JSON."),
        ),
        (
            {"events": [{"a": 1}]},
            KEY,
            400,
            refused("BadRequestException", "Each event must be a string."),
        ),
    ],
)
async def test_a_refused_publish_says_why(stage, document, headers, status, body):
    document = {"channel": "/default/x", "events": ["1"]} | document
    async with stage.request(json=document, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (status, body)


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        (b"", "MalformedHttpRequestException"),
        (b"{", "BadRequestException"),
        (b"\xff\xfe", "BadRequestException"),
        (b"[]", "BadRequestException"),
        (b"1", "BadRequestException"),
        (b'{"channel":"/default/x"}', "BadRequestException"),
        (b'{"events":["1"]}', "BadRequestException"),
        (b'{"channel":1,"events":["1"]}', "BadRequestException"),
        (b'{"channel":"/default/x","events":"1"}', "BadRequestException"),
        (b'{"channel":"/default/x","events":["\xff"]}', "BadRequestException"),
        (b'{"channel":"\xff","events":["1"]}', "BadRequestException"),
        (b'{"channel":"/default/*","events":["1"]}', "BadRequestException"),
        (b"[" * 100_000, "BadRequestException"),
    ],
)
async def test_a_body_that_makes_no_sense_is_a_bad_request(stage, body, error_type):
    async with stage.request(data=body, headers=KEY) as answer:
        document = json.loads(await answer.text())
        assert answer.status == 400
        assert [one["errorType"] for one in document["errors"]] == [error_type]
        assert document["errors"][0]["message"]


async def test_an_event_too_large_fails_alone(stage):
    status, body = await stage.post("/default/x", "1", json.dumps("x" * 240 * 1024), "3")
    document = json.loads(body)
    assert status == 200
    assert list(document) == ["failed", "successful"]
    assert [one["index"] for one in document["successful"]] == [0, 2]
    (failed,) = document["failed"]
    assert list(failed) == ["code", "identifier", "index", "message"]
    assert (failed["index"], failed["code"]) == (1, "EventTooLargeException")
    assert failed["message"] == "Transformed event is larger than 240KB"


async def test_a_mode_that_the_namespace_does_not_take_is_403(tmp_path):
    modes = frozenset({AuthMode.LAMBDA})
    api = api_config(namespaces=(NamespaceConfig(name="default", publish_modes=modes),))
    async with start(tmp_path, api=api) as stage:
        assert await stage.post("/default/x", "1") == (403, DENIED)


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_body_above_the_limit_is_refused_and_the_relay_lives_on(tmp_path, is_chunked):
    async def chunks():
        for _ in range(20):
            yield b"x" * 1000

    async with start(tmp_path, limits=Limits(request_bytes=10_000)) as stage:
        data = chunks() if is_chunked else b"x" * 20_000
        async with stage.request(data=data, headers=KEY) as answer:
            assert answer.status == 413
            assert "Request body is larger than 10000 bytes." in await answer.text()
        assert (await stage.post("/default/x", "1"))[0] == 200


async def test_a_body_that_does_not_arrive_is_given_up_within_its_budget(tmp_path):
    async with start(tmp_path, budgets=Budgets(request=0.05)) as stage:
        reader, writer = await asyncio.open_connection("localhost", stage.relay.plain_port)
        writer.write(b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        async with asyncio.timeout(10):
            assert b"408" in await reader.readline()
        writer.close()


@pytest.mark.parametrize("encoding", ["amz-1.0", "gzip", "deflate"])
async def test_a_content_encoding_is_never_taken_for_one(stage, encoding):
    headers = KEY | {"content-encoding": encoding, "content-type": "text/plain"}
    body = b'{"channel":"/default/x","events":["1"]}'
    async with stage.request(data=body, headers=headers) as answer:
        assert answer.status == 200


async def test_a_preflight_is_allowed_what_it_asks_for_without_credentials(stage):
    asked = "content-type,x-api-key,authorization,x-amz-date,x-amz-security-token,x-amz-user-agent"
    headers = {
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    async with stage.request("OPTIONS", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Headers"] == asked
        assert answer.headers["Access-Control-Allow-Methods"] == "POST,OPTIONS"
        assert answer.headers["Access-Control-Max-Age"] == "172800"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/event"),
        ("PUT", "/event"),
        ("GET", "/event/realtime"),
        ("POST", "/event/realtime"),
        ("POST", "/events"),
        ("POST", "/event/"),
        ("GET", "/_natless/unknown"),
    ],
)
async def test_what_nobody_serves_is_answered_like_the_front_end_of_aws(stage, method, path):
    async with stage.request(method, path) as answer:
        assert answer.status == 404
        assert await answer.text() == (
            '{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},'
            '"Version":"1.0"}'
        )


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-WebSocket-Version": "12", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Version": "13"},
    ],
)
async def test_an_upgrade_that_is_none_is_a_bad_request(stage, headers):
    headers = headers | {"Upgrade": "websocket", "Connection": "Upgrade"}
    async with stage.request("GET", "/event/realtime", headers=headers) as answer:
        assert answer.status == 400
        assert "BadRequestException" in await answer.text()


async def test_an_answer_to_head_has_no_body(stage):
    async with stage.request("HEAD", "/") as answer:
        assert (answer.status, await answer.read()) == (404, b"")


async def test_many_requests_use_one_connection_unless_it_is_to_be_closed(stage):
    body = b'{"channel":"/default/x","events":["1"]}'
    head = b"POST /event HTTP/1.1\r\nHost: x\r\nx-api-key: %b\r\nContent-Length: %d\r\n"
    head %= (KEY["x-api-key"].encode(), len(body))
    reader, writer = await asyncio.open_connection("localhost", stage.relay.plain_port)
    writer.write((head + b"\r\n" + body) * 3 + head + b"Connection: close\r\n\r\n" + body)
    async with asyncio.timeout(10):
        answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert answers.count(b"Connection: close") == 1
    writer.close()
    await stage.relay.drain()
    (closed,) = stage.journal.of("relay.connection.closed")
    assert (closed["transport"], closed["received"]) == ("http", 4)


async def test_an_old_client_is_told_whether_its_connection_stays(stage):
    reader, writer = await asyncio.open_connection("localhost", stage.relay.plain_port)
    writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    async with asyncio.timeout(10):
        assert b"Connection: keep-alive" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_defect_of_ours_is_told_as_aws_would_and_does_not_end_the_relay(
    stage, monkeypatch, caplog
):
    def fail(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr("relay.http_publish.accept_events", fail)
    status, body = await stage.post("/default/x", "1")
    assert status == 500
    assert "InternalFailureException" in body
    assert "a defect" not in body
    assert "a defect" in caplog.text
    async with stage.request("GET", "/_natless/health") as answer:
        assert answer.status == 200


async def test_health_counts_what_is_there(stage):
    async with stage.socket() as one, stage.socket():
        await one.subscribe("/default/x")
        async with stage.request("GET", "/_natless/health") as answer:
            health = await answer.json()
    assert health["status"] == "ok"
    assert (health["connections"], health["subscriptions"], health["apis"]) == (2, 1, 1)
    assert health["seconds"] >= 0


async def test_connections_are_listed_for_the_operator(stage):
    async with stage.socket() as one:
        await one.subscribe("default/*", "mine")
        await one.publish("/default/x", "1")
        await one.hear()
        async with stage.request("GET", "/_natless/connections") as answer:
            document = await answer.json()
        text = await answer.text()
    (shown,) = document["connections"]
    assert document["count"] == 1
    assert shown["peer"] in {"127.0.0.1", "::1"}
    assert shown["subscriptions"] == [{"id": "mine", "channel": "/default/*"}]
    assert (shown["received"], shown["delivered"], shown["unsent_bytes"]) == (1, 1, 0)
    assert KEY["x-api-key"] not in text
