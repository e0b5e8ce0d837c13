"""Streamed answers, from a runtime that sends chunks to boto3 and to an HTTP client."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from natless.lambda_host.host import FunctionSpec
from tests.shell.function_stage import Stage, open_stage

RUNTIME = Path(__file__).with_name("stream_runtime.py")
BOOM = {"errorType": "Boom", "errorMessage": "in the middle"}


def streams(spec: FunctionSpec) -> FunctionSpec:
    command = (sys.executable, "-I", str(RUNTIME))
    return replace(spec, bootstrap=command, streams_url=spec.name == "orders")


@pytest.fixture
async def stage(tmp_path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path, "", other=streams, timeout=20.0) as stage:
        yield stage


async def stream(
    stage: Stage, on_chunk: Callable[[bytes], None] = lambda _: None, **parameters: Any
) -> tuple[list[bytes], dict[str, Any], dict[str, Any]]:
    """The chunks as they came, what ended them, and the answer's head; by boto3 in a thread."""
    loop = asyncio.get_running_loop()

    def call() -> tuple[list[bytes], dict[str, Any], dict[str, Any]]:
        client = stage.boto3()
        try:
            answer = client.invoke_with_response_stream(**{"FunctionName": "orders"} | parameters)
            chunks, complete = [], {}
            for event in answer["EventStream"]:
                if "PayloadChunk" in event:
                    chunks.append(event["PayloadChunk"]["Payload"])
                    loop.call_soon_threadsafe(on_chunk, chunks[-1])
                else:
                    complete = event["InvokeComplete"]
            return chunks, complete, answer
        finally:
            client.close()

    return await asyncio.to_thread(call)


def event(**members: Any) -> bytes:
    return json.dumps(members).encode()


async def test_chunks_reach_the_caller_while_the_function_still_writes(stage, tmp_path):
    gate = tmp_path / "gate"
    payload = event(parts=["first", "second"], gates=[None, str(gate)])
    # the second part is written only because the first one has arrived
    chunks, complete, answer = await stream(stage, lambda _: gate.touch(), Payload=payload)
    assert chunks == [b"first", b"second"]
    assert complete == {}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"


async def test_an_error_in_the_middle_is_told_at_the_end(stage):
    payload = event(parts=["so far"], error=BOOM)
    chunks, complete, _ = await stream(stage, Payload=payload)
    assert chunks == [b"so far"]
    assert complete["ErrorCode"] == "Function.Boom"
    assert json.loads(complete["ErrorDetails"]) == BOOM
    [failed] = await stage.wait("lambda.invocation.failed")
    assert (failed.data["bytes"], failed.data["is_streamed"]) == (6 + len(json.dumps(BOOM)), True)


async def test_a_runtime_that_ends_in_the_middle_is_told_at_the_end(stage):
    chunks, complete, _ = await stream(stage, Payload=event(parts=["so far"], exit=3))
    assert chunks == [b"so far"]
    assert complete["ErrorCode"] in ("Runtime.TruncatedResponse", "Runtime.ExitError")


async def test_a_stream_that_takes_too_long_is_cut_by_the_timeout(tmp_path):
    async with open_stage(tmp_path, "", other=streams, timeout=1.0) as stage:
        payload = event(parts=["a", "b"], gates=[None, str(tmp_path / "never")])
        chunks, complete, _ = await stream(stage, Payload=payload)
    assert chunks == [b"a"]
    assert complete["ErrorCode"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in complete["ErrorDetails"]


async def test_an_answer_in_one_piece_comes_as_one_chunk(stage):
    chunks, complete, _ = await stream(stage, Payload=event(plain={"n": 1}))
    assert [json.loads(chunk) for chunk in chunks] == [{"n": 1}]
    assert complete == {}


async def test_the_end_of_the_log_comes_with_the_end(stage):
    _, complete, answer = await stream(stage, Payload=event(parts=["a"]), LogType="Tail")
    lines = base64.b64decode(complete["LogResult"]).decode().splitlines()
    assert lines[0].startswith("START RequestId: " + answer["ResponseMetadata"]["RequestId"])
    assert "streaming 1" in lines
    assert lines[-1].startswith("REPORT ")


async def test_without_a_reader_the_function_writes_on(stage, tmp_path):
    gate = tmp_path / "gate"
    url = f"{stage.endpoint}/2021-11-15/functions/orders/response-streaming-invocations"
    payload = event(parts=["x", "y"], gates=[None, str(gate)])
    async with aiohttp.ClientSession() as http, http.post(url, data=payload) as answer:
        await answer.content.readany()
    gate.touch()
    [complete] = await stage.wait("lambda.invocation.complete")
    assert complete.data["bytes"] == 2


async def test_a_stream_whose_function_is_stopped_ends_with_the_reason(stage, tmp_path):
    payload = event(parts=["a", "b"], gates=[None, str(tmp_path / "never")])
    begun = asyncio.Event()
    calling = asyncio.create_task(stream(stage, lambda _: begun.set(), Payload=payload))
    await begun.wait()
    await stage.host.__aexit__(None, None, None)
    chunks, complete, _ = await calling
    assert chunks == [b"a"]
    assert complete["ErrorCode"] == "ServiceException"


async def test_what_cannot_be_called_is_refused_before_anything_streams(stage):
    with pytest.raises(ClientError) as caught:
        await stream(stage, FunctionName="nobody")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


async def test_a_throttled_stream_is_an_ordinary_refusal(tmp_path):
    async with open_stage(tmp_path, "", other=streams, concurrency=0) as stage:
        with pytest.raises(ClientError) as caught:
            await stream(stage, Payload=event(plain=1))
    assert caught.value.response["Error"]["Code"] == "TooManyRequestsException"


async def test_a_dry_run_streams_nothing(stage):
    url = f"{stage.endpoint}/2021-11-15/functions/orders/response-streaming-invocations"
    headers = {"X-Amz-Invocation-Type": "DryRun"}
    async with aiohttp.ClientSession() as http, http.post(url, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    assert not stage.of("lambda.request.received")


async def test_an_ordinary_invoke_collects_the_stream(stage):
    answer = await stage.ask(
        "invoke", FunctionName="mail", Payload=event(parts=["one", " and ", "two"])
    )
    assert answer["Payload"] == b"one and two"
    answer = await stage.ask("invoke", FunctionName="mail", Payload=event(parts=["x"], error=BOOM))
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"]) == BOOM


async def test_a_collected_stream_may_have_no_more_bytes_than_any_answer(stage):
    part = "x" * 100_000
    answer = await stage.ask("invoke", FunctionName="mail", Payload=event(parts=[part], times=62))
    assert len(answer["Payload"]) == 6_200_000
    answer = await stage.ask("invoke", FunctionName="mail", Payload=event(parts=[part], times=63))
    assert json.loads(answer["Payload"])["errorType"] == "Function.ResponseSizeTooLarge"


async def test_a_stream_may_have_more(stage):
    chunks, complete, _ = await stream(stage, Payload=event(parts=["x" * 100_000], times=65))
    assert sum(len(chunk) for chunk in chunks) == 6_500_000
    assert complete == {}


# -- natless invoke --------------------------------------------------------------------------------


async def natless_invoke(stage: Stage, *argv: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-P", "-m", "natless.cli", "invoke", "orders", *argv]
    return await asyncio.create_subprocess_exec(
        *command,
        *("--endpoint", stage.endpoint),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_natless_invoke_prints_a_stream_as_it_comes(stage, tmp_path):
    gate = tmp_path / "gate"
    data = event(parts=["first\n", "second"], gates=[None, str(gate)]).decode()
    process = await natless_invoke(stage, "--stream", "--log", "--data", data)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"first\n"
    gate.touch()
    rest, errors = await process.communicate()
    assert (process.returncode, rest) == (0, b"second")
    assert b"streaming 2" in errors


async def test_natless_invoke_tells_how_a_stream_broke(stage):
    data = event(parts=["so far"], error=BOOM).decode()
    process = await natless_invoke(stage, "--stream", "--data", data)
    out, errors = await process.communicate()
    assert (process.returncode, out) == (1, b"so far")
    assert b"orders failed: Boom: in the middle" in errors


async def test_a_stream_is_no_document_and_no_event(stage):
    process = await natless_invoke(stage, "--stream", "--json")
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"--stream goes with neither" in errors


# -- the function's URL ----------------------------------------------------------------------------


async def test_the_url_answers_while_the_function_still_writes(stage, tmp_path):
    gate = tmp_path / "gate"
    payload = event(type="text/plain", parts=["first", "second"], gates=[None, str(gate)])
    async with (
        aiohttp.ClientSession() as http,
        http.post(stage.url, data=payload, headers={"Content-Type": "text/plain"}) as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert await answer.content.readany() == b"first"
        gate.touch()
        assert await answer.content.read() == b"second"


async def post(stage: Stage, **members: Any) -> tuple[int, aiohttp.typedefs.LooseHeaders, bytes]:
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(stage.url, data=event(**members), headers=headers) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


PRELUDE = {"statusCode": 418, "headers": {"X-Kind": "pot"}, "cookies": ["a=1", "b=2"]}
KIND = "application/vnd.awslambda.http-integration-response"


async def test_a_prelude_says_status_headers_and_cookies(stage):
    status, headers, body = await post(stage, type=KIND, prelude=PRELUDE, parts=["tea", "!"])
    assert (status, headers["X-Kind"], body) == (418, "pot", b"tea!")
    assert headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert headers["Content-Type"] == "application/octet-stream"
    [answered] = await stage.wait("lambda.request.answered")
    assert answered.data["status"] == 418


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"prelude": {"statusCode": 7}}, "statusCode is 7"),
        ({"parts": ["no prelude"]}, "ended before the eight zero bytes"),
        ({"parts": ["{]\0\0\0\0\0\0\0\0"]}, "not JSON"),
    ],
)
async def test_a_stream_that_is_no_response_is_a_bad_gateway(stage, members, words):
    status, _, body = await post(stage, type=KIND, **members)
    assert status == 502
    assert words in json.loads(body)["errorMessage"]


async def test_an_answer_in_one_piece_is_the_response_that_it_describes(stage):
    status, _, body = await post(stage, plain={"statusCode": 201, "body": "made"})
    assert (status, body) == (201, b"made")


async def test_a_stream_that_breaks_ends_with_its_connection(stage):
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(stage, type="text/plain", parts=["so far"], error=BOOM)
    [answered] = await stage.wait("lambda.request.answered")
    assert answered.data["note"] == "Boom: in the middle"


async def test_a_stream_at_the_url_whose_function_is_stopped_breaks(stage, tmp_path):
    payload = event(type="text/plain", parts=["a", "b"], gates=[None, str(tmp_path / "never")])
    async with (
        aiohttp.ClientSession() as http,
        http.post(stage.url, data=payload, headers={"Content-Type": "text/plain"}) as answer,
    ):
        assert await answer.content.readany() == b"a"
        await stage.host.__aexit__(None, None, None)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()


async def test_the_url_says_how_it_answers(stage):
    config = await stage.ask("get_function_url_config", FunctionName="orders")
    assert config["InvokeMode"] == "RESPONSE_STREAM"
