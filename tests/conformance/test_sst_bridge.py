"""SST's released bridge, taken unmodified from the npm package sst-linux-x64, IAM throughout."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from natless.journal import Journal
from natless.runtimes import find_code
from natless.vpc.model import Role
from natless.vpc.netns import VpcProcess
from natless.worker import LocalFunction, Worker, WorkerConfig
from tests.conformance.bridge_lambda import bridge_binary
from tests.conformance.echo_worker import open_worker
from tests.conformance.field import Field, open_field
from tests.conformance.lambda_front import LambdaFront, open_front
from tests.conformance.proofs import npm_version, prove
from tests.golden.relay import ACCESS_KEY_ID, API_KEY, REGION, SECRET

WORKER = "0123456789abcdef0123456789abcdef"
END_BUDGET = 10.0  # seconds after SIGKILL
RECONNECT_BUDGET = 20.0  # seconds; the bridge tries every five


@asynccontextmanager
async def running_bridge(
    field: Field, *, secret: str = SECRET
) -> AsyncIterator[tuple[LambdaFront, VpcProcess, asyncio.Future[list[bytes]]]]:
    # A relative path, as the bridge tells its whole environment to the developer's side.
    shutil.copy(field.ca, field.directory / "ca.pem")
    listening = await field.vpc.listen(Role.FUNCTION)
    address = "{}:{}".format(*listening.getsockname())
    async with open_front(listening) as front:
        bridge = await field.vpc.run(
            Role.FUNCTION,
            [str(bridge_binary())],
            environment={
                "AWS_LAMBDA_RUNTIME_API": address,
                "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[$LATEST]{WORKER}",
                "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
                "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_EC2_METADATA_DISABLED": "true",
                "SSL_CERT_FILE": "ca.pem",
                "SST_APP": "app",
                "SST_STAGE": "dev",
                "SST_FUNCTION_ID": "fn",
                "SST_REGION": REGION,
                "SST_APPSYNC_HTTP": field.vpc.api.http_host,
                "SST_APPSYNC_REALTIME": field.vpc.api.realtime_host,
            },
            directory=field.directory,
        )
        saying = asyncio.gather(bridge.stdout.read(), bridge.stderr.read())
        try:
            yield front, bridge, saying
        except BaseException as error:
            bridge.kill()
            error.add_note(b"".join(await saying).decode(errors="replace"))
            raise
        bridge.kill()
        async with asyncio.timeout(END_BUDGET):
            await bridge.wait()
            await saying


async def test_the_bridge_connects_publishes_and_comes_back_after_a_restart(tmp_path: Path) -> None:
    bridge_binary()
    async with (
        open_field(tmp_path, golden="sst-bridge") as field,
        open_worker(field.local_port, field.ca) as worker,
        running_bridge(field) as (front, bridge, _),
    ):
        assert await front.invoke("req-1", '{"n":1}') == ("response", '{"n":1}')
        assert worker.inits[WORKER]["SST_STAGE"] == "dev"
        assert await front.invoke("req-2", '"two"') == ("response", '"two"')
        await field.restart_relay()
        await field.delivers_to(2)
        assert await front.invoke("req-3", '{"n":3}') == ("response", '{"n":3}')
        assert bridge.returncode is None
    prove_bridge(
        "test_the_bridge_connects_publishes_and_comes_back_after_a_restart",
        "connects and subscribes by WebSocket and publishes over HTTP, signed",
        "answers an invocation",
        "after a restart of the relay it connects and subscribes again by itself, and answers",
    )


async def test_events_and_answers_of_many_packets_pass_the_relay(tmp_path: Path) -> None:
    bridge_binary()
    event = '"' + "0123456789abcdef" * (3 << 16) + '"'  # 3 MiB: 25 packets, far from round
    async with (
        open_field(tmp_path, golden=None) as field,
        open_worker(field.local_port, field.ca),
        running_bridge(field) as (front, _, _),
    ):
        kind, body = await front.invoke("large", event)
        assert kind == "response"
        assert body == event
    prove_bridge(
        "test_events_and_answers_of_many_packets_pass_the_relay", "3 MiB each way, in 25 packets"
    )


async def test_the_worker_answers_an_unmodified_bridge(tmp_path: Path) -> None:
    bridge_binary()
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text(
        "import os\n"
        "def handler(event, context):\n"
        "    return [event['n'] + 1, context.aws_request_id, os.environ['SST_FUNCTION_ID']]\n"
    )
    async with open_field(tmp_path, golden=None) as field:
        config = WorkerConfig(
            url=f"wss://localhost:{field.local_port}/event/realtime",
            host=field.vpc.api.http_host,
            api_key=API_KEY,
            app="app",
            stage="dev",
            folder=code,
            handler="app.handler",
            ca=field.ca,
        )
        async with Worker(config, Journal()), running_bridge(field) as (front, _, _):
            for number in range(3):
                kind, body = await front.invoke(f"req-{number}", json.dumps({"n": number}))
                assert kind == "response"
                assert json.loads(body) == [number + 1, f"req-{number}", "fn"]
    prove_bridge("test_the_worker_answers_an_unmodified_bridge", "the worker of natless answers it")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_the_worker_finds_the_function_that_the_bridge_names_in_whatever_language(
    tmp_path: Path,
) -> None:
    bridge_binary()
    for name, code in (
        (
            "fn",
            "export const handler = async (event, context) =>"
            " [event.n + 1, context.awsRequestId, process.env.SST_APP];",
        ),
        ("other", "export const handler = async () => 'not this one';"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.mjs").write_text(code)
    async with open_field(tmp_path, golden=None) as field:
        config = WorkerConfig(
            url=f"wss://localhost:{field.local_port}/event/realtime",
            host=field.vpc.api.http_host,
            api_key=API_KEY,
            app="app",
            stage="dev",
            functions={
                name: LocalFunction(find_code(tmp_path / name, "app.handler"))
                for name in ("other", "fn")
            },
            ca=field.ca,
        )
        async with Worker(config, Journal()), running_bridge(field) as (front, _, _):
            for number in range(3):
                kind, body = await front.invoke(f"req-{number}", json.dumps({"n": number}))
                assert kind == "response"
                assert json.loads(body) == [number + 1, f"req-{number}", "app"]
            (tmp_path / "fn" / "app.mjs").write_text(
                "export const handler = async () => { throw new RangeError('edited'); };"
            )
            while kind == "response":
                kind, body = await front.invoke(f"edit-{time.monotonic_ns()}", '{"n": 1}')
            assert json.loads(body)["errorMessage"] == "edited"


async def test_a_bridge_with_a_wrong_secret_reads_why_and_ends(tmp_path: Path) -> None:
    bridge_binary()
    async with (
        open_field(tmp_path, golden=None) as field,
        running_bridge(field, secret="wrong") as (_, bridge, saying),
    ):
        async with asyncio.timeout(RECONNECT_BUDGET):
            assert await bridge.wait() == 0  # its main function returns when connecting fails
            said = b"".join(await saying).decode()
    assert "appsync connection failed" in said
    assert "BadRequestException" in said
    prove_bridge(
        "test_a_bridge_with_a_wrong_secret_reads_why_and_ends",
        "with a wrong secret it reads connection_error and ends",
    )


def prove_bridge(test: str, *held: str) -> None:
    client, version = "SST's bridge (npm, sst-linux-x64)", npm_version("sst-linux-x64")
    prove(client, version, test=f"test_sst_bridge.py::{test}", held=held)
