"""A function in the VPC lives as one outside does: frozen, with extensions, and with its errors."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import pytest_asyncio

from natless.journal import Fact, Journal
from natless.lab import VpcLauncher
from natless.lambda_host.host import FunctionSpec, LambdaHost
from natless.worker.process import python_client
from tests.network.vpc_bench import open_bench
from tests.shell.lambda_scripts import until

EXTENSION = Path(__file__).parents[1] / "shell" / "extension_program.py"
TICKING = """
import threading, time
ticks = [0]

def tick():
    while True:
        ticks[0] += 1
        time.sleep(0.001)

threading.Thread(target=tick, daemon=True).start()

def handler(event, context):
    return ticks[0]
"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory):
    async with open_bench(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


async def test_it_stands_still_between_calls_and_its_extensions_hear_of_all(lab, tmp_path):
    (tmp_path / "app.py").write_text(TICKING)
    (tmp_path / "ext").mkdir()
    agent, notes = tmp_path / "ext" / "agent", tmp_path / "notes"
    agent.write_text(f"#!{sys.executable} -I\n{EXTENSION.read_text()}")
    agent.chmod(0o755)
    facts: list[Fact] = []
    journal = Journal()
    journal.listen(facts.append)
    spec = FunctionSpec(
        "f",
        "app.handler",
        tmp_path,
        (sys.executable, "-I", "-B", str(python_client())),
        environment={"EXTENSION_NOTES": str(notes)},
        extensions=tmp_path / "ext",
    )
    async with LambdaHost(spec, launcher=VpcLauncher(lab.vpc), journal=journal) as host:
        before = json.loads((await host.invoke(b"{}")).payload)
        await host.settled()
        started = time.monotonic()
        await until(lambda: time.monotonic() > started + 0.6)  # six hundred ticks, if it ran
        result = await host.invoke(b"{}")
        after = json.loads(result.payload)
        await host.settled()
    assert after - before < 300
    assert result.frozen is not None
    assert result.frozen >= 0.6
    heard = [json.loads(line) for line in notes.read_text().splitlines()]
    assert [each["eventType"] for each in heard if "eventType" in each] == [
        "INVOKE",
        "INVOKE",
        "SHUTDOWN",
    ]


@pytest.mark.parametrize(
    ("argv", "folder", "error_type", "words"),
    [
        ("/no/such", ".", "Runtime.InvalidEntrypoint", "fork/exec /no/such: no such file"),
        ("/etc/passwd", ".", "Runtime.InvalidEntrypoint", "/etc/passwd: permission denied"),
        ("/bin/true", "nowhere", "Runtime.InvalidWorkingDir", "nowhere: no such file"),
    ],
)
async def test_a_command_that_cannot_be_started_is_named_as_outside(
    lab, tmp_path, argv, folder, error_type, words
):
    spec = FunctionSpec("f", "a.b", tmp_path / folder, (argv,))
    async with LambdaHost(spec, launcher=VpcLauncher(lab.vpc), journal=Journal()) as host:
        error = json.loads((await host.invoke(b"{}")).payload)
    assert error["errorType"] == error_type
    assert words in error["errorMessage"]
