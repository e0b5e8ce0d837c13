"""``natless dev --topology``: the function lives in a network, and its calls show it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from natless.vpc.netns import can_use_namespaces

REASON = can_use_namespaces()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PYTHON = (
    "import os\n"
    "def handler(event, context):\n"
    "    return 'developer' if os.environ.get('NATLESS_LIVE') else 'deployed'\n"
)
NODE = (
    "import { who } from 'dep';\n"
    "export const handler = async () => who(process.env.NATLESS_LIVE);\n"
)
SHELL = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while curl -sS -o /dev/null -D head "$api/next"; do
  id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([^ \\r]*\\).*/\\1/Ip' head)
  curl -sS -o /dev/null -d "\\"${NATLESS_LIVE:+developer}${NATLESS_LIVE:-deployed}\\"" \
    "$api/$id/response"
done
"""


@pytest.mark.parametrize(
    ("topology", "answer", "strategy", "language"),
    [
        ("nat", "developer", "worker", "python"),
        ("endpoint", "deployed", "deployed", "python"),
        ("endpoint", "deployed", "deployed", "node"),
        ("endpoint", "deployed", "deployed", "shell"),
    ],
)
def test_who_answers_depends_on_the_network(tmp_path: Path, topology, answer, strategy, language):
    lay_out(tmp_path, language)
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


def test_each_function_may_be_in_a_network_of_its_own(tmp_path: Path):
    lay_out(tmp_path, "python")
    (tmp_path / "natless.toml").write_text(
        "[functions.here]\ntopology = ''\n"
        "[functions.there]\ntopology = 'nat'\n"
        "[functions.lost]\ntopology = 'endpoint'\n"
    )
    command = [sys.executable, "-P", "-m", "natless.cli", "dev", "--port", "0", "--json"]
    own = {k: v for k, v in os.environ.items() if not k.startswith("NATLESS_")}
    with subprocess.Popen(command, cwd=tmp_path, env=own, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            functions = json.loads(process.stdout.readline())["functions"]
            assert [each["topology"] for each in functions] == [None, "nat", "endpoint"]
            answers = []
            for each in functions:
                with urllib.request.urlopen(each["url"]) as reply:
                    answers.append(json.load(reply))
        finally:
            process.send_signal(signal.SIGTERM)
    assert answers == ["developer", "developer", "deployed"]


def read(journal: Path) -> list[dict[str, object]]:
    """The facts so far; the last line may be on its way."""
    return [json.loads(line) for line in journal.read_text().split("\n")[:-1]]


def lay_out(folder: Path, language: str) -> None:
    """A function that says who runs it; the one for Node.js needs a package for that."""
    program, name, code = {
        "python": (sys.executable, "handler.py", PYTHON),
        "node": ("node", "handler.mjs", NODE),
        "shell": ("curl", "bootstrap", SHELL),
    }[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (folder / name).write_text(code)
    (folder / name).chmod(0o755)
    if language == "node":
        package = folder / "node_modules" / "dep"
        package.mkdir(parents=True)
        (package / "package.json").write_text('{"name": "dep", "type": "module"}')
        (package / "index.js").write_text(
            "export const who = (live) => (live ? 'developer' : 'deployed');\n"
        )
