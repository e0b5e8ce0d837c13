"""The layer that ``natless shim build`` writes, unpacked to ``/opt`` of an image made for Lambda.

The image runs as a function of our Lambda: its container is the process, and it finds the Runtime
API on this machine's loopback. Nothing in the image is changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from event_protocol.phases import InvocationRecord, Strategy
from natless.certificates import Authority, aws_names
from natless.journal import Fact, Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from natless.relay_process import RelayReady, start_relay
from natless.shim_layer import LAYER_NAME
from natless.worker import Worker, WorkerConfig
from tests.containers.conftest import BASE_IMAGE, ROOT
from tests.shell.lambda_scripts import until

IMAGE = "natless-aws-image"
KEY = "da2-0123456789abcdefghijklmnop"
ELF = b"\x7fELF"
OWN_BOOTSTRAP = "#!/bin/sh\nexec /var/lang/bin/python3 /var/runtime/bootstrap.py\n"


@pytest.fixture(scope="module")
def image(engine: None) -> str:
    """The stand-in for an image that is made FROM AWS's base image for Python."""
    command = ["docker", "build", "-q", "-f", "docker/aws-image/Dockerfile", "-t", IMAGE]
    command += ["--build-arg", f"PYTHON={BASE_IMAGE}", "."]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    return IMAGE


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer's zip, by the command that a user runs."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-P", "-m", "natless.cli", "shim", "build", "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / LAYER_NAME


@pytest.fixture(scope="module")
def opt(layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``/opt`` as Lambda unpacks it there, readable by everybody."""
    root = tmp_path_factory.mktemp("opt")
    root.chmod(0o755)
    with zipfile.ZipFile(layer) as file:
        for entry in file.infolist():
            path = Path(file.extract(entry, root))
            path.chmod(stat.S_IMODE(entry.external_attr >> 16))
    return root


@dataclass
class Stage:
    """A relay, a developer's folder with a worker, and an image to be run."""

    image: str
    opt: Path
    folder: Path
    relay: RelayReady
    journal: Journal
    facts: list[Fact]
    records: list[InvocationRecord]
    name: str  # of the container; a new one each time, as an old one may still be on its way out

    def function(self, *command: str, entrypoint: str = "", **environment: str) -> LambdaHost:
        """The image as a function; its container has the host's network and only our variables."""
        variables = {
            "NATLESS_REALTIME": f"localhost:{self.relay.port}",
            "NATLESS_HTTP": self.relay.http_host,
            "NATLESS_API_KEY": self.relay.api_key,
            "NATLESS_CA": "/ca.pem",
            "NATLESS_APP": "app",
            "NATLESS_STAGE": "dev",
            "NATLESS_FUNCTION_ID": "hello",
            "PATH": os.environ["PATH"],  # for docker; the container has its own
            **environment,
        }
        spec = FunctionSpec("hello", "handler.handler", self.folder, (), environment=variables)
        argv = ["docker", "run", "--rm", "--init", "--network", "host", "--name", self.name]
        argv += ["-v", f"{self.opt}:/opt:ro", "-v", f"{self.relay.ca}:/ca.pem:ro"]
        argv += ["-v", f"{self.folder / 'extra'}:/extra:ro"]
        passed = {*variables, *_LAMBDAS} - {"PATH"}
        argv += [part for name in sorted(passed) for part in ("-e", name)]
        argv += ["--entrypoint", entrypoint] if entrypoint else []
        # what is frozen would be docker's client, and not the container
        spec = replace(spec, bootstrap=(*argv, self.image, *command), freeze=False)
        host = LambdaHost(spec, launcher=HostLauncher(), journal=self.journal)
        host.on_record(self.records.append)
        return host

    async def answered_by(self, strategy: Strategy) -> None:
        """The guest's records say so; they come through docker's client, a moment later."""
        await until(lambda: bool(self.records))
        assert {record.strategy for record in self.records} == {strategy}

    @property
    def log(self) -> str:
        return "\n".join(f.data["line"] for f in self.facts if f.kind == "lambda.log")


_LAMBDAS = frozenset(
    {
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
    }
)


@pytest.fixture
async def stage(image: str, opt: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    folder = tmp_path / "hello"
    shutil.copytree(ROOT / "examples/hello", folder, ignore=shutil.ignore_patterns("__*"))
    (folder / "extra").mkdir()
    authority = Authority.for_user(tmp_path / "ca")
    served = authority.issue([*aws_names("us-east-1"), "localhost"], directory=tmp_path)
    facts: list[Fact] = []
    journal = Journal()
    journal.listen(facts.append)
    async with start_relay(
        certificate=served.certificate,
        key=served.key,
        ca=authority.ca_path,
        api_key=KEY,
        label="abcdefghijklmnopqrstuvwxyz",
        region="us-east-1",
        namespaces=["sst"],
        listening=[],
        journal=Journal(),
    ) as relay:
        config = WorkerConfig(
            url=f"wss://localhost:{relay.port}/event/realtime",
            host=relay.http_host,
            api_key=relay.api_key,
            app="app",
            stage="dev",
            folder=folder,
            handler="handler.handler",
            ca=relay.ca,
        )
        name = f"natless-layer-{secrets.token_hex(4)}"
        some = Stage(image, opt, folder, relay, journal, facts, [], name)
        try:
            async with Worker(config, journal):
                yield some
        finally:
            await asyncio.to_thread(
                subprocess.run, ["docker", "rm", "-f", some.name], capture_output=True, check=False
            )


async def message(host: LambdaHost) -> str:
    result = await host.invoke(b"{}")
    assert result.function_error is None, result.payload
    return str(json.loads(json.loads(result.payload)["body"])["message"])


WRAPPED = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/natless/wrapper"}


async def test_the_images_start_script_hands_over_to_the_guest_of_the_layer(stage: Stage) -> None:
    async with stage.function("handler.handler", **WRAPPED) as host:
        assert await message(host) == "Hello from the developer code!"
        assert await message(host) == "Hello from the developer code!"
        await stage.answered_by(Strategy.WORKER)


async def test_without_a_channel_the_code_in_the_image_answers(stage: Stage) -> None:
    nowhere = {"NATLESS_REALTIME": "localhost:1"}
    async with stage.function("handler.handler", **WRAPPED, **nowhere) as host:
        assert await message(host) == "Hello from the deployed code!"
        await stage.answered_by(Strategy.DEPLOYED)


async def test_without_its_settings_the_layer_gets_out_of_the_way(stage: Stage) -> None:
    async with stage.function("handler.handler", **WRAPPED, NATLESS_REALTIME="") as host:
        assert await message(host) == "Hello from the deployed code!"
    assert "NATLESS_REALTIME is not set: the function runs as it is deployed" in stage.log
    assert not stage.records


async def test_without_the_wrapper_nothing_of_the_layer_runs(stage: Stage) -> None:
    async with stage.function("handler.handler") as host:
        assert await message(host) == "Hello from the deployed code!"
    assert not stage.records


async def test_where_there_is_no_wrapper_the_layer_is_the_bootstrap(stage: Stage) -> None:
    own = stage.folder / "extra" / "bootstrap.deployed"
    own.write_text(OWN_BOOTSTRAP)
    own.chmod(0o755)
    more = {"_HANDLER": "handler.handler", "NATLESS_DEPLOYED_COMMAND": "/extra/bootstrap.deployed"}
    async with stage.function(entrypoint="/opt/bootstrap", **more) as host:
        assert await message(host) == "Hello from the developer code!"
        await stage.answered_by(Strategy.WORKER)


def test_nothing_in_the_layer_is_made_for_one_processor(layer: Path) -> None:
    """So it runs on arm64 as on x86-64: bytecode depends on the interpreter alone."""
    seen = []
    with zipfile.ZipFile(layer) as outer:
        for entry in outer.infolist():
            content = outer.read(entry)
            assert not content.startswith(ELF), entry.filename
            if entry.filename.endswith(".pyz"):
                (stored := layer.with_suffix(".pyz")).write_bytes(content)
                with zipfile.ZipFile(stored) as guest:
                    seen += guest.namelist()
                    assert not any(guest.read(name).startswith(ELF) for name in guest.namelist())
    assert seen
    assert not [name for name in seen if name.endswith((".so", ".pyd", ".dylib"))]
