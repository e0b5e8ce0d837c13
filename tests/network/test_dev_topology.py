"""``natless dev --topology``: the function lives in a network, and its calls show it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from natless.vpc.netns import can_use_namespaces

REASON = can_use_namespaces()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

HANDLER = (
    "import os\n"
    "def handler(event, context):\n"
    "    return 'developer' if os.environ.get('NATLESS_LIVE') else 'deployed'\n"
)


@pytest.mark.parametrize(
    ("topology", "answer", "strategy"),
    [("nat", "developer", "worker"), ("endpoint", "deployed", "deployed")],
)
def test_who_answers_depends_on_the_network(tmp_path: Path, topology, answer, strategy):
    (tmp_path / "handler.py").write_text(HANDLER)
    journal = tmp_path / "journal.jsonl"
    command = [sys.executable, "-P", "-m", "natless.cli", "dev", ".", "--port", "0", "--json"]
    command += ["--topology", topology, "--journal", str(journal)]
    own = {k: v for k, v in os.environ.items() if not k.startswith("NATLESS_")}
    with subprocess.Popen(command, cwd=tmp_path, env=own, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["topology"] == topology
            with urllib.request.urlopen(ready["url"]) as reply:
                assert json.load(reply) == answer
            # the guest writes its record when the caller has its answer already
            while not (records := [f for f in read(journal) if f["kind"] == "shim.invocation"]):
                assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 143
    assert [record["strategy"] for record in records] == [strategy]


def read(journal: Path) -> list[dict[str, object]]:
    """The facts so far; the last line may be on its way."""
    return [json.loads(line) for line in journal.read_text().split("\n")[:-1]]
