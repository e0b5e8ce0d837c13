"""The network of ``natless dev`` changes while functions live in it, by command and by curl."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from natless.vpc.netns import can_use_namespaces

REASON = can_use_namespaces()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

HANDLER = (
    "import os\n"
    "def handler(event, context):\n"
    "    return 'developer' if os.environ.get('NATLESS_LIVE') else 'deployed'\n"
)


@dataclass
class Dev:
    """A loop that is up."""

    ready: dict[str, Any]
    journal: Path

    def call(self) -> Any:
        with urllib.request.urlopen(self.ready["url"]) as reply:
            return json.load(reply)

    def topology(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``natless topology …`` as a command."""
        command = [sys.executable, "-P", "-m", "natless.cli", "topology", *arguments]
        return subprocess.run(
            [*command, "--control", self.ready["invoke"]],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def put(self, path: str, **headers: str) -> tuple[int, Any]:
        """What curl would be answered."""
        address = f"{self.ready['invoke']}{path}"
        request = urllib.request.Request(address, method="PUT", headers=headers)
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def records(self, count: int) -> list[dict[str, Any]]:
        """So many measurements; a guest writes one when the caller has its answer already."""
        while True:
            # the last line may be on its way
            facts = [json.loads(line) for line in self.journal.read_text().split("\n")[:-1]]
            records = [fact for fact in facts if fact["kind"] == "shim.invocation"]
            if len(records) >= count:
                return records
            time.sleep(0.02)


@contextmanager
def run_dev(folder: Path, *arguments: str) -> Iterator[Dev]:
    (folder / "handler.py").write_text(HANDLER)
    journal = folder / "journal.jsonl"
    command = [sys.executable, "-P", "-m", "natless.cli", "dev", ".", "--port", "0", "--json"]
    command += ["--journal", str(journal), *arguments]
    own = {k: v for k, v in os.environ.items() if not k.startswith("NATLESS_")}
    with subprocess.Popen(command, cwd=folder, env=own, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Dev(json.loads(process.stdout.readline()), journal)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 143


def test_the_network_changes_while_the_function_lives_in_it(tmp_path: Path):
    with run_dev(tmp_path, "--topology", "nat") as dev:
        assert dev.call() == "developer"
        said = dev.topology("set", "endpoint", "--verify")
        assert (said.returncode, "NOT" in said.stdout) == (0, False), said.stderr
        assert dev.call() == "deployed"
        assert "* endpoint " in dev.topology("list").stdout
        assert dev.topology("show").stdout.startswith("endpoint: ")
        status, changed = dev.put("/topology/egress-proxy")
        assert (status, changed["promise"]) == (200, "works through the proxy")
        assert dev.call() == "developer"
        status, refused = dev.put("/topology/no-natt")
        assert (status, json.loads(refused)["next"]) == (404, "Did you mean 'no-nat'?")
        assert dev.put("/topology/nat", Origin="https://evil.example")[0] == 403
        assert dev.call() == "developer"
        records = dev.records(4)
    assert [each["strategy"] for each in records] == ["worker", "deployed", "worker", "worker"]
    assert [each["cold"] for each in records] == [True, True, True, False]


def test_a_kept_channel_meets_what_a_nat_gateway_has_forgotten(tmp_path: Path):
    """An environment that was frozen for longer than the limit: the guest opens another channel."""
    with run_dev(tmp_path, "--topology", "nat-idle") as dev:
        assert dev.call() == "developer"
        assert dev.call() == "developer"
        time.sleep(3.0)  # the limit is 2 s
        assert dev.call() == "developer"
        assert dev.topology("set", "nat-replaced", "--keep").returncode == 0
        assert dev.call() == "developer"
        kept, forgotten, replaced = dev.records(4)[1:]
    assert [span["phase"] for span in kept["spans"]][:1] == ["publish"]
    for record in (forgotten, replaced):
        lost = [span for span in record["spans"] if span["outcome"] != "ok"]
        assert [(span["phase"], span["outcome"] in ("reset", "closed")) for span in lost] == [
            ("publish", True)
        ]
        assert "connect" in [span["phase"] for span in record["spans"]]
        assert record["strategy"] == "worker"


def test_without_a_network_there_is_nothing_to_change(tmp_path: Path):
    with run_dev(tmp_path) as dev:
        assert (
            json.loads(urllib.request.urlopen(f"{dev.ready['invoke']}/topology").read())["current"]
            is None
        )
        said = dev.topology("set", "no-nat")
        assert said.returncode != 0
        assert "natless dev --topology nat" in said.stderr
        assert "no lab with a network answers" in dev.topology("show").stderr
