"""The genuine chain without AWS: SST's bridge, the relay, and `sst dev`; and our shim before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import pytest_asyncio

from natless.vpc.topologies import find
from tests.conformance.bridge_lambda import (
    bridge_binary,
    bridge_function,
    log_of,
    shim_function,
)
from tests.conformance.field import Field, open_field
from tests.conformance.packets import codes_of_ours, heard_packets
from tests.conformance.proofs import npm_version, prove
from tests.conformance.sst_dev import (
    SstDev,
    add_function,
    sst_command_line,
    sst_dev,
    sst_project,
)
from tests.golden.relay import ACCESS_KEY_ID, LABEL, REGION, SECRET
from tests.shell.worker_channel import Facts

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Chain:
    """A field, and a project of SST's in it."""

    field: Field
    project: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chain]:
    sst_command_line()
    directory = tmp_path_factory.mktemp("sst")
    async with open_field(directory, golden=None, options=("--name", "sst")) as field:
        await field.vpc.apply(find("nat"))
        async with sst_project(field) as project:
            yield Chain(field, project)


@pytest_asyncio.fixture(loop_scope="module")
async def dev(chain: Chain) -> AsyncIterator[SstDev]:
    async with sst_dev(chain.field, chain.project) as dev:
        yield dev


async def test_sst_dev_answers_sst_s_bridge(chain: Chain, dev: SstDev) -> None:
    facts = Facts()
    async with bridge_function(chain.field, facts, concurrency=3) as function:
        for number in range(20):
            result = await function.invoke(json.dumps({"name": number}).encode())
            answer = {"hello": number, "request": result.request_id}
            assert (result.function_error, json.loads(result.payload)) == (None, answer)
        calls = [function.invoke(json.dumps({"name": n}).encode()) for n in range(3)]
        results = await asyncio.gather(*calls)
        assert [json.loads(result.payload)["hello"] for result in results] == [0, 1, 2]
        failed = await function.invoke(b'{"fail":true}')
        said = json.loads(failed.payload)
        assert failed.function_error == "Unhandled"
        assert (said["errorType"], said["errorMessage"]) == ("TypeError", "on purpose")
        large = json.dumps({"name": "0123456789" * 100_000}).encode()
        assert len((await function.invoke(large)).payload) > 1_000_000
    prove_chain(
        "test_sst_dev_answers_sst_s_bridge",
        "finds the API in the control plane, asks for readiness, subscribes",
        "answers the bridge: 20 calls, 3 at once, an error, 1 MB each way",
    )


async def test_sst_dev_answers_the_shim(chain: Chain, dev: SstDev) -> None:
    facts = Facts()
    async with (
        heard_packets(chain.field) as packets,
        shim_function(chain.field, facts, concurrency=3) as function,
    ):
        for number in range(5):
            result = await function.invoke(json.dumps({"name": number}).encode())
            answer = {"hello": number, "request": result.request_id}
            assert (result.function_error, json.loads(result.payload)) == (None, answer)
        calls = [function.invoke(json.dumps({"name": n}).encode()) for n in range(3)]
        results = await asyncio.gather(*calls)
        assert [json.loads(result.payload)["hello"] for result in results] == [0, 1, 2]
        failed = await function.invoke(b'{"fail":true}')
        assert json.loads(failed.payload)["errorMessage"] == "on purpose"
        large = json.dumps({"name": "0123456789" * 100_000}).encode()
        assert len((await function.invoke(large)).payload) > 1_000_000
        await function.settled()
    strategies = {fact.data["strategy"] for fact in facts.of("shim.invocation")}
    assert strategies == {"worker"}
    assert len(packets) > 10
    assert codes_of_ours(packets) == set(), "sst dev announced none of our features"
    prove_chain(
        "test_sst_dev_answers_the_shim",
        "answers the shim: calls, 3 at once, an error, 1 MB each way",
    )


async def test_an_edit_shows_at_the_next_call(chain: Chain, dev: SstDev) -> None:
    handler = chain.project / "src" / "hello.mjs"
    code = handler.read_text()
    async with bridge_function(chain.field, Facts()) as function:
        assert b"hello" in (await function.invoke(b'{"name":1}')).payload
        built = dev.log.count("function built")
        handler.write_text(code.replace("hello:", "goodbye:"))
        await dev.says("function built", times=built + 1)
        assert b"goodbye" in (await function.invoke(b'{"name":2}')).payload
        handler.write_text(code)
    prove_chain(
        "test_an_edit_shows_at_the_next_call", "an edit of the handler shows at the next call"
    )


STREAM = """
import { existsSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

export const handler = awslambda.streamifyResponse(async (event, stream) => {
  const head = { statusCode: 201, headers: { "x-kind": "stream" } };
  const body = awslambda.HttpResponseStream.from(stream, head);
  body.write("first");
  while (!existsSync(event.until)) await setTimeout(10);
  body.write("second");
  body.end();
});
"""


@dataclass
class Sink:
    """Takes a streamed answer, and lets the handler go on once the first of it is here."""

    until: Path
    kind: str = ""
    taken: bytes = b""

    async def begin(self, headers: Mapping[str, str]) -> None:
        self.kind = headers["content-type"]

    async def write(self, piece: bytes) -> None:
        self.taken += piece
        if self.taken.endswith(b"first"):
            self.until.touch()


async def test_a_streamed_answer_arrives_while_the_handler_writes(
    chain: Chain, dev: SstDev, tmp_path: Path
) -> None:
    (chain.project / "src" / "stream.mjs").write_text(STREAM)
    await add_function(chain.field, chain.project, "streaming", "src/stream.handler")
    sink = Sink(tmp_path / "first-is-here")
    event = json.dumps({"until": str(sink.until)}).encode()
    function = bridge_function(
        chain.field, Facts(), SST_FUNCTION_ID="streaming", SST_FUNCTION_STREAMING="true"
    )
    async with function:
        result = await function.invoke(event, sink=sink)
    assert result.function_error is None
    assert sink.kind == "application/vnd.awslambda.http-integration-response"
    head, _, body = sink.taken.partition(bytes(8))
    assert json.loads(head) == {"statusCode": 201, "headers": {"x-kind": "stream"}}
    assert body == b"firstsecond"
    prove_chain(
        "test_a_streamed_answer_arrives_while_the_handler_writes",
        "a streamed answer passes the bridge piece by piece",
    )


async def test_a_second_sst_dev_reboots_a_bridge_that_stayed(chain: Chain) -> None:
    facts = Facts()
    async with bridge_function(chain.field, facts) as function:
        async with sst_dev(chain.field, chain.project):
            assert b"hello" in (await function.invoke(b'{"name":1}')).payload
        async with sst_dev(chain.field, chain.project) as dev:
            assert b"hello" in (await function.invoke(b'{"name":2}')).payload
            assert "asking for reboot" in dev.log
        await function.settled()
    assert "got message 5" in log_of(facts)
    unpacked = chain.project / ".sst" / "platform" / "dist" / "bridge" / "bootstrap"
    assert unpacked.read_bytes() == bridge_binary().read_bytes()  # what SST deploys is what we ran
    prove_chain(
        "test_a_second_sst_dev_reboots_a_bridge_that_stayed",
        "started anew, it reboots a bridge that stayed, and answers",
    )


async def test_sst_dev_creates_an_api_where_there_is_none(tmp_path: Path) -> None:
    sst_command_line()
    async with open_field(tmp_path, golden="sst-dev") as field, sst_project(field) as project:
        await field.vpc.apply(find("no-vpc"))
        async with sst_dev(field, project):
            hosts = await asyncio.to_thread(find_hosts, field)
            async with bridge_function(field, Facts(), **hosts) as function:
                assert b"hello" in (await function.invoke(b'{"name":1}')).payload
    assert not hosts["SST_APPSYNC_HTTP"].startswith(LABEL)
    prove_chain(
        "test_sst_dev_creates_an_api_where_there_is_none",
        "creates the API and its namespace where there is none, and answers there",
    )


def find_hosts(field: Field) -> dict[str, str]:
    """What SST's component tells a function of the API that the command line made."""
    client = boto3.client(
        "appsync",
        endpoint_url=f"https://localhost:{field.relay.port}",
        verify=str(field.ca),
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
    )
    with contextlib.closing(client):
        (api,) = [each for each in client.list_apis()["apis"] if each["name"] == "sst"]
        dns = client.get_api(apiId=api["apiId"])["api"]["dns"]
    return {"SST_APPSYNC_HTTP": dns["HTTP"], "SST_APPSYNC_REALTIME": dns["REALTIME"]}


def prove_chain(test: str, *held: str) -> None:
    client, version = "`sst dev` (npm, sst-linux-x64)", npm_version("sst-linux-x64")
    prove(client, version, test=f"test_sst_dev.py::{test}", held=held)
