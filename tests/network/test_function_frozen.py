"""A function in the VPC is frozen between calls, with its extensions, and ends with them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

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


async def test_a_function_in_the_network_stands_still_and_its_extensions_hear_of_all(tmp_path):
    (tmp_path / "app.py").write_text(TICKING)
    (tmp_path / "ext").mkdir()
    (tmp_path / "lab").mkdir()
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
    async with (
        open_bench(tmp_path / "lab") as lab,
        LambdaHost(spec, launcher=VpcLauncher(lab.vpc), journal=journal) as host,
    ):
        before = json.loads((await host.invoke(b"{}")).payload)
        await host.settled()
        started = time.monotonic()
        await until(lambda: time.monotonic() > started + 0.3)  # three hundred ticks, if it ran
        result = await host.invoke(b"{}")
        after = json.loads(result.payload)
        await host.settled()
    assert after - before < 100
    assert result.frozen is not None
    assert result.frozen >= 0.3
    heard = [json.loads(line) for line in notes.read_text().splitlines()]
    assert [each["eventType"] for each in heard if "eventType" in each] == [
        "INVOKE",
        "INVOKE",
        "SHUTDOWN",
    ]
