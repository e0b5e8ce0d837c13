"""Any HTTP client calls a function by its URL."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json

import aiohttp
import pytest

from tests.shell.function_stage import open_stage

CODE = """
    import base64, json, pathlib, time

    def handler(event, context):
        path = event["rawPath"]
        if path == "/plain":
            return "Hello, world!"
        if path == "/object":
            return {"message": "hi"}
        if path == "/binary":
            body = base64.b64encode(bytes(range(256))).decode()
            headers = {"content-type": "image/png"}
            return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": True}
        if path == "/cookies":
            return {"statusCode": 302, "headers": {"Location": "/x"}, "cookies": ["a=1", "b=2"]}
        if path == "/raise":
            raise ValueError("boom")
        if path == "/malformed":
            return {"statusCode": 200, "body": {"a": 1}}
        if path == "/wait":
            gate = pathlib.Path(event["queryStringParameters"]["gate"])
            while not gate.exists():
                time.sleep(0.002)
        if path == "/id":
            return context.aws_request_id
        return {"statusCode": 200, "body": json.dumps(event)}
"""


@pytest.fixture
async def stage(tmp_path):
    async with open_stage(tmp_path, CODE, hosts=("tunnel.example",)) as stage:
        yield stage


async def ask(stage, path: str, *, method: str = "GET", **options):
    """Status, headers, body."""
    jar = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(cookie_jar=jar) as http,
        http.request(
            method, stage.url.rstrip("/") + path, allow_redirects=False, **options
        ) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def event_of(stage, path: str, **options):
    status, _, body = await ask(stage, path, **options)
    assert status == 200
    return json.loads(body)


async def test_curl_calls_the_function(stage):
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "-i", stage.url + "plain", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    head, _, body = said.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "content-type: application/json" in head.lower()
    assert body == '"Hello, world!"'


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_arrives(stage, method):
    event = await event_of(stage, "/orders/7?a=1&a=2", method=method)
    http = event["requestContext"]["http"]
    assert (http["method"], http["path"], http["sourceIp"]) == (method, "/orders/7", "127.0.0.1")
    assert event["queryStringParameters"] == {"a": "1,2"}


async def test_a_head_request_gets_the_head_alone(stage):
    status, headers, body = await ask(stage, "/object", method="HEAD")
    assert (status, headers["content-type"], body) == (200, "application/json", b"")


async def test_path_and_query_arrive_as_they_were_sent(stage):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.url.split(":")[2][:-1]))
    writer.write(b"GET /a%20b/%C3%BC?q=%20x&n HTTP/1.1\r\nHost: localhost\r\n")
    writer.write(b"X-Odd: \xff\r\nConnection: close\r\n\r\n")
    event = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    await writer.wait_closed()
    assert event["rawPath"] == "/a%20b/%C3%BC"
    assert event["rawQueryString"] == "q=%20x&n"
    assert event["queryStringParameters"] == {"q": " x", "n": ""}
    assert event["headers"]["x-odd"] == "?"


async def test_cookies_and_repeated_headers_arrive(stage):
    headers = [("Cookie", "a=1; b=2"), ("X-One", "1"), ("X-One", "2")]
    event = await event_of(stage, "/", headers=headers)
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-one"] == "1,2"
    assert event["headers"]["x-forwarded-proto"] == "http"
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1"


async def test_text_arrives_as_text_and_bytes_as_base64(stage):
    event = await event_of(stage, "/", method="POST", json={"a": "ü"})
    assert (json.loads(event["body"]), event["isBase64Encoded"]) == ({"a": "ü"}, False)
    event = await event_of(stage, "/", method="POST", data={"a": "1"})
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (b"a=1", True)


async def test_a_compressed_body_is_not_touched(stage):
    packed = gzip.compress(b"{}")
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/octet-stream"}
    event = await event_of(stage, "/", method="POST", data=packed, headers=headers)
    assert base64.b64decode(event["body"]) == packed


async def test_a_value_without_status_is_the_body(stage):
    assert (await ask(stage, "/object"))[2] == b'{"message": "hi"}'


async def test_a_binary_answer_comes_as_bytes(stage):
    status, headers, body = await ask(stage, "/binary")
    assert (status, headers["content-type"], body) == (200, "image/png", bytes(range(256)))


async def test_each_cookie_is_a_header_of_its_own(stage):
    status, headers, body = await ask(stage, "/cookies")
    assert (status, headers["location"], body) == (302, "/x", b"")
    assert headers.getall("set-cookie") == ["a=1", "b=2"]


async def test_an_error_of_the_function_is_a_bad_gateway_that_says_why(stage):
    status, headers, body = await ask(stage, "/raise")
    assert (status, headers["content-type"]) == (502, "application/json")
    assert json.loads(body) == {
        "message": "Internal Server Error",
        "errorType": "ValueError",
        "errorMessage": "boom",
    }
    [fact] = await stage.wait("lambda.request.answered")
    assert (fact.data["status"], fact.data["note"]) == (502, "ValueError: boom")


async def test_a_malformed_response_is_a_bad_gateway_that_says_what_is_wrong(stage):
    status, _, body = await ask(stage, "/malformed")
    said = json.loads(body)
    assert (status, said["errorType"]) == (502, "MalformedAnswer")
    assert "encode it as JSON yourself" in said["errorMessage"]


async def test_the_response_names_the_invocation(stage):
    _, headers, body = await ask(stage, "/id")
    assert headers["x-amzn-RequestId"] == json.loads(body)


async def test_a_throttled_request_is_told_so(stage, tmp_path):
    gate = tmp_path / "gate"
    waiting = [asyncio.create_task(ask(stage, f"/wait?gate={gate}")) for _ in range(2)]
    await stage.wait("lambda.invocation.started", 2)
    assert (await ask(stage, "/"))[0] == 429
    gate.touch()
    assert [(await task)[0] for task in waiting] == [200, 200]


@pytest.mark.parametrize("size", [5 << 20, 7 << 20])  # base64 makes 5 MB too large an event, too
async def test_a_body_that_makes_too_large_an_event_is_refused(stage, size):
    status, _, body = await ask(stage, "/", method="POST", data=io.BytesIO(b"x" * size))
    assert (status, json.loads(body)) == (413, {"message": "Request Entity Too Large"})


async def test_a_request_whose_function_is_stopped_is_answered(stage, tmp_path):
    calling = asyncio.create_task(ask(stage, f"/wait?gate={tmp_path / 'never'}"))
    await stage.wait("lambda.invocation.started")
    await stage.host.__aexit__(None, None, None)
    assert (await calling)[0] == 503


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("orders.localhost:9401", 200),
        ("tunnel.example", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
async def test_only_names_of_this_machine_and_those_allowed_may_be_called(stage, host, status):
    assert (await ask(stage, "/", headers={"Host": host}))[0] == status


async def test_a_page_of_another_origin_may_call_as_on_aws(stage):
    assert (await ask(stage, "/", headers={"Origin": "http://localhost:3000"}))[0] == 200
