"""The guest keeps its connection warm, and is frozen between calls: what becomes of both."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from event_protocol.phases import InvocationRecord, Phase, Strategy
from natless.certificates import Authority, CertificatePair, aws_names
from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, InvokeResult, LambdaHost
from natless.shim_archive import shim_archive
from natless.worker import Worker, WorkerConfig
from tests.shell.lambda_scripts import until

ROOT = Path(__file__).parents[2]
KEY = "da2-0123456789abcdefghijklmnop"
SCALE = 0.001  # so that a connection is given up after 0.3 s without a keep-alive, not 300 s


@dataclass
class Stage:
    folder: Path
    certificate: CertificatePair
    ca: Path
    port: int
    records: list[InvocationRecord] = field(default_factory=list)

    @asynccontextmanager
    async def relay(self) -> AsyncIterator[None]:
        command = [sys.executable, "-P", "-m", "relay", "--host", "127.0.0.1", "--json"]
        command += ["--port", str(self.port), "--certificate", str(self.certificate.certificate)]
        command += ["--key", str(self.certificate.key), "--ca", str(self.ca)]
        command += ["--namespace", "sst", "--api-key", KEY, "--time-scale", str(SCALE)]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            assert json.loads(await process.stdout.readline())["event"] == "ready"
            yield
        finally:
            process.kill()
            await process.communicate()

    def worker(self) -> Worker:
        config = WorkerConfig(
            url=f"wss://localhost:{self.port}/event/realtime",
            host=f"localhost:{self.port}",
            api_key=KEY,
            app="app",
            stage="dev",
            folder=self.folder,
            handler="handler.handler",
            ca=self.ca,
        )
        return Worker(config, Journal())

    def function(self) -> LambdaHost:
        host = f"localhost:{self.port}"
        environment = {
            "NATLESS_REALTIME": host,
            "NATLESS_HTTP": host,
            "NATLESS_API_KEY": KEY,
            "NATLESS_CA": str(self.ca),
            "NATLESS_APP": "app",
            "NATLESS_STAGE": "dev",
            "NATLESS_FUNCTION_ID": "f",
        }
        command = (sys.executable, "-I", str(shim_archive()))
        spec = FunctionSpec("f", "handler.handler", self.folder, command, environment=environment)
        function = LambdaHost(spec, launcher=HostLauncher(), journal=Journal())
        function.on_record(self.records.append)
        return function

    async def call(self, host: LambdaHost) -> tuple[InvokeResult, InvocationRecord]:
        count = len(self.records)
        result = await host.invoke(b"{}")
        await host.settled()
        await until(lambda: len(self.records) > count)
        return result, self.records[-1]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "handler.py").write_text("def handler(event, context):\n    return 'here'\n")
    authority = Authority.for_user(tmp_path / "ca")
    served = authority.issue([*aws_names("us-east-1"), "localhost"], directory=tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return Stage(tmp_path, served, authority.ca_path, port)


async def stand_still(seconds: float) -> None:
    """Lets real time pass for what is frozen; nothing tells when enough of it has."""
    started = time.monotonic()
    await until(lambda: time.monotonic() > started + seconds)


async def test_a_connection_outlives_a_freeze_that_is_longer_than_its_patience(stage):
    async with stage.relay(), stage.worker(), stage.function() as host:
        await stage.call(host)
        await stand_still(1.0)
        result, record = await stage.call(host)
    assert result.payload == b'"here"'
    assert result.frozen is not None
    assert result.frozen > 0.9
    assert record.strategy is Strategy.WORKER
    # keep-alives waited in the socket, and were read before the guest looked at its clock
    assert not {span.phase for span in record.spans} & {Phase.CONNECT, Phase.TLS}


async def test_a_connection_that_ended_during_a_freeze_is_replaced_in_the_next_call(stage):
    async with stage.function() as host:
        async with stage.relay(), stage.worker():
            _, before = await stage.call(host)
        async with stage.relay(), stage.worker():
            result, record = await stage.call(host)
    assert {Phase.CONNECT, Phase.TLS} <= {span.phase for span in record.spans}
    assert [before.strategy, record.strategy] == [Strategy.WORKER] * 2
    assert result.payload == b'"here"'
