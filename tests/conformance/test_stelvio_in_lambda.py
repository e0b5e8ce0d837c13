"""Stelvio's stub in our Lambda, answered by our worker; and our shim, by Stelvio's listener."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import pytest_asyncio

from natless.lab import VpcLauncher
from natless.lambda_host.host import FunctionSpec, LambdaHost
from natless.vpc.topologies import find
from natless.worker import WorkerConfig
from natless.worker.stelvio import StelvioWorker
from tests.conformance.bridge_lambda import shim_function
from tests.conformance.field import Field, open_field, python_script
from tests.conformance.installed import python_at_least, python_client
from tests.conformance.proofs import HERE, pip_version, prove
from tests.golden.relay import ACCESS_KEY_ID, API_KEY, REGION, SECRET
from tests.shell.worker_channel import Facts

pytestmark = pytest.mark.asyncio(loop_scope="module")

RELOAD_BUDGET = 20.0
READY_BUDGET = 30.0  # seconds until the listener is subscribed: it imports Pulumi
HANDLER = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError(event["fail"])
    return {
        "statusCode": 200,
        "body": event["body"],
        "request": context.aws_request_id,
        "function": context.function_name,
        "code": "first",
    }
"""
RUNTIMES = {
    "awslambdaric": (sys.executable, "-m", "awslambdaric", "stlv_function_stub.handler"),
    "natless": (
        sys.executable,
        "-P",
        str(HERE.parents[1] / "runtime_shim" / "python_runtime.py"),
    ),
}


@dataclass
class Stelvio:
    """A field with a stub as Stelvio packs it, and a developer's folder."""

    field: Field
    task: Path
    code: Path

    def worker(self, facts: Facts) -> StelvioWorker:
        (self.code / "app.py").write_text(HANDLER)
        config = WorkerConfig(
            url=f"wss://localhost:{self.field.local_port}/event/realtime",
            host=self.field.vpc.api.http_host,
            api_key=API_KEY,
            app="my_app",
            stage="dev",
            folder=self.code,
            handler="app.handler",
            ca=self.field.ca,
        )
        return StelvioWorker(config, facts.journal)

    def function(
        self, facts: Facts, *, runtime: str = "awslambdaric", concurrency: int = 1
    ) -> LambdaHost:
        spec = FunctionSpec(
            name="my-app-dev-fn",
            handler="stlv_function_stub.handler",
            task_root=self.task,
            bootstrap=RUNTIMES[runtime],
            region=REGION,
            environment={
                "SSL_CERT_FILE": str(self.field.ca),
                "STLV_APPSYNC_REALTIME": self.field.vpc.api.realtime_host,
                "STLV_APPSYNC_HTTP": self.field.vpc.api.http_host,
                "STLV_APPSYNC_API_KEY": API_KEY,
                "STLV_APP_NAME": "my_app",
                "STLV_STAGE": "dev",
                "STLV_FUNCTION_NAME": "fn",
                "STLV_DEV_ENDPOINT_ID": "ep-1",
            },
        )
        return LambdaHost(
            spec,
            launcher=VpcLauncher(self.field.vpc),
            journal=facts.journal,
            concurrency=concurrency,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stelvio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stelvio]:
    venv = python_client("stelvio", python=python_at_least(12)).parents[1]
    (packages,) = venv.glob("lib/python3.*/site-packages")
    directory = tmp_path_factory.mktemp("stelvio")
    task, code = directory / "task", directory / "code"
    task.mkdir()
    code.mkdir()
    bridge = packages / "stelvio" / "bridge"
    shutil.copy(bridge / "remote/stub/function_stub.py", task / "stlv_function_stub.py")
    shutil.copy(bridge / "_chunking.py", task / "stlv_chunking.py")
    shutil.copytree(packages / "websockets", task / "websockets")  # Stelvio's zip brings it along
    async with open_field(directory, golden=None) as field:
        await field.vpc.apply(find("nat"))
        yield Stelvio(field, task, code)


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_the_worker_answers_the_stub(stelvio: Stelvio, runtime: str) -> None:
    facts = Facts()
    async with stelvio.worker(facts), stelvio.function(facts, runtime=runtime) as function:
        for number in range(20):
            result = await function.invoke(json.dumps({"body": f"n{number}"}).encode())
            assert json.loads(result.payload) == {
                "statusCode": 200,
                "body": f"n{number}",
                "request": result.request_id,
                "function": "fn",
                "code": "first",
            }
        failed = json.loads((await function.invoke(b'{"fail":"on purpose"}')).payload)
        said = json.loads(failed["body"])
        assert failed["statusCode"] == 500
        assert (said["error"], said["errorType"]) == ("on purpose", "ValueError")
        assert "app.py" in "".join(said["stackTrace"])
        large = "0123456789" * 45_000
        answer = (await function.invoke(json.dumps({"body": large}).encode())).payload
        assert json.loads(answer)["body"] == large
    prove_stub(
        "test_the_worker_answers_the_stub",
        "20 calls, an error as the stub's 500, 450 KB each way in chunks",
        "under awslambdaric and under natless's own runtime client",
    )


async def test_stubs_at_once_are_answered_at_once(stelvio: Stelvio) -> None:
    facts = Facts()
    async with stelvio.worker(facts), stelvio.function(facts, concurrency=5) as function:
        calls = [function.invoke(json.dumps({"body": str(n)}).encode()) for n in range(5)]
        results = await asyncio.gather(*calls)
    answers = [json.loads(result.payload) for result in results]
    assert [answer["body"] for answer in answers] == list("01234")
    assert [answer["request"] for answer in answers] == [each.request_id for each in results]
    prove_stub(
        "test_stubs_at_once_are_answered_at_once",
        "5 environments at once, on one channel, each its own answer",
    )


async def test_an_edit_shows_at_the_stubs_next_call(stelvio: Stelvio) -> None:
    facts = Facts()
    async with stelvio.worker(facts), stelvio.function(facts) as function:
        assert b'"first"' in (await function.invoke(b'{"body":""}')).payload
        (stelvio.code / "app.py").write_text(HANDLER.replace("first", "second"))
        async with asyncio.timeout(RELOAD_BUDGET):
            await facts.wait("worker.reload.complete")
        assert b'"second"' in (await function.invoke(b'{"body":""}')).payload
    prove_stub(
        "test_an_edit_shows_at_the_stubs_next_call", "an edit of the handler shows at the next call"
    )


async def test_stelvios_listener_answers_the_shim(stelvio: Stelvio) -> None:
    python = str(python_client("stelvio", python=python_at_least(12)))
    listener = await stelvio.field.start(python_script("stelvio_listener", python), COLUMNS="200")
    said = asyncio.gather(
        listener.stdout.readuntil(b"connected to AppSync"), return_exceptions=True
    )
    facts = Facts()
    try:
        async with asyncio.timeout(READY_BUDGET):
            (ready,) = await said
        assert isinstance(ready, bytes), await listener.stderr.read()
        rest = asyncio.gather(listener.stdout.read(), listener.stderr.read())
        channel = await asyncio.to_thread(find_channel, stelvio.field)
        async with shim_function(stelvio.field, facts, **channel) as function:
            for number in range(5):
                result = await function.invoke(json.dumps({"body": f"n{number}"}).encode())
                answer = {"statusCode": 200, "body": f"n{number}"}
                assert (result.function_error, json.loads(result.payload)) == (None, answer)
            failed = await function.invoke(b'{"fail":"on purpose"}')
            assert failed.function_error == "Unhandled"
            error = json.loads(failed.payload)
            assert (error["errorMessage"], error["errorType"]) == ("on purpose", "ValueError")
            large = "0123456789" * 45_000
            result = await function.invoke(json.dumps({"body": large}).encode())
            assert json.loads(result.payload)["body"] == large
            await function.settled()
    finally:
        listener.kill()
        await listener.wait()
    await rest
    records = [fact.data for fact in facts.of("shim.invocation")]
    assert {record["strategy"] for record in records} == {"worker"}
    assert [span["outcome"] for span in records[0]["spans"] if span["phase"] == "probe"] == ["ok"]
    prove(
        "Stelvio (PyPI), listener and our shim",
        pip_version("stelvio", HERE / "python" / "stelvio.lock"),
        test="test_stelvio_in_lambda.py::test_stelvios_listener_answers_the_shim",
        held=["5 calls, an error as the function's own, 450 KB each way in chunks"],
    )


def find_channel(field: Field) -> dict[str, str]:
    """What a deployment tells a function of the API that the listener made, in the shim's words."""
    client = boto3.client(
        "appsync",
        endpoint_url=f"https://localhost:{field.relay.port}",
        verify=str(field.ca),
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
    )
    with contextlib.closing(client):
        (api,) = [each for each in client.list_apis()["apis"] if each["name"] == "stelvio"]
        dns = client.get_api(apiId=api["apiId"])["api"]["dns"]
        (key,) = client.list_api_keys(apiId=api["apiId"])["apiKeys"]
    return {
        "NATLESS_DIALECT": "stelvio",
        "NATLESS_REALTIME": dns["REALTIME"],
        "NATLESS_HTTP": dns["HTTP"],
        "NATLESS_API_KEY": key["id"],
        "NATLESS_APP": "my_app",
        "NATLESS_STAGE": "dev",
        "NATLESS_FUNCTION_ID": "ep-1",
    }


@pytest.mark.nightly
async def test_a_stub_without_a_way_out_says_so_after_10_s_in_a_success(stelvio: Stelvio) -> None:
    facts = Facts()
    try:
        await stelvio.field.vpc.apply(find("no-nat"))
        async with stelvio.function(facts) as function:
            result = await function.invoke(b'{"body":""}')
    finally:
        await stelvio.field.vpc.apply(find("nat"))
    answer = json.loads(result.payload)
    print(f"\nno way out: {result.duration:.1f} s, {answer}")
    assert (result.function_error, answer["statusCode"]) == (None, 500)
    assert json.loads(answer["body"])["error"].startswith("Failed to connect to AppSync")
    assert 10 < result.duration < 12


@pytest.mark.nightly
async def test_a_stub_that_nobody_hears_waits_16_s(stelvio: Stelvio) -> None:
    async with stelvio.function(Facts()) as function:
        result = await function.invoke(b'{"body":""}')
    answer = json.loads(result.payload)
    print(f"\nnobody: {result.duration:.1f} s, {answer}")
    assert (result.function_error, answer["statusCode"]) == (None, 500)
    assert json.loads(answer["body"])["error"] == "Local dev server not responding"
    assert 16 < result.duration < 18


def prove_stub(test: str, *held: str) -> None:
    version = pip_version("stelvio", HERE / "python" / "stelvio.lock")
    client = "Stelvio (PyPI), stub and our worker"
    prove(client, version, test=f"test_stelvio_in_lambda.py::{test}", held=held)
