"""docs/howto/relay-alone.md: its files and snippets, as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from natless.certificates import Authority
from tests.conformance.installed import node_clients

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "relay-alone.md").read_text(encoding="utf-8")
BUDGET = 90.0  # seconds; Node reads all of Amplify


def blocks(language: str) -> dict[str, str]:
    """The page's blocks of a language: by the file they say they are, else by their number."""
    found = {}
    for number, text in enumerate(re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)):
        name = re.match(r"(?:#|//) ([\w.]+)\n", text)
        found[name[1] if name else str(number)] = text
    return found


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has natless on the path and never ran it."""
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return {"PATH": os.pathsep.join(paths), "HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8"}


def run(argv: list[str], *, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUDGET
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_files_for_pytest_pass_and_the_snippets_work_beside_them(
    tmp_path: Path, home: dict[str, str]
) -> None:
    python = blocks("python")
    for name in ("conftest.py", "test_orders.py"):
        (tmp_path / name).write_text(python[name])
    snippets = [text for name, text in python.items() if name.isdigit()]
    assert len(snippets) == 3  # a program that starts it, boto3, gql
    (tmp_path / "test_snippets.py").write_text(
        "import pytest\n\n"
        f"@pytest.mark.parametrize('snippet', {snippets!r})\n"
        "def test_snippet(event_api, snippet):\n"
        "    said = {'event_api': event_api}\n"
        "    exec(snippet, said)\n"
        "    if 'sent' in said:\n"
        "        assert said['sent'] == {'publish': {'name': 'orders', 'data': '7'}}\n"
        "    if 'api' in said:\n"
        "        assert said['appsync'].get_api(apiId=said['api']['apiId'])['api']['dns']\n"
        "    if 'relay' in said:\n"
        "        assert said['relay'].wait(10) == 0\n"
        "        said['relay'].stdout.close()\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path), "."]
    assert "4 passed" in run(argv, folder=tmp_path, environment=home)


def test_the_file_for_node_passes(tmp_path: Path, home: dict[str, str]) -> None:
    clients = node_clients()
    (tmp_path / "orders.test.mjs").write_text(blocks("js")["orders.test.mjs"])
    (tmp_path / "node_modules").symlink_to(clients / "node_modules")
    authority = Authority.for_user(tmp_path / "home/.local/share/natless/ca")
    home["NODE_EXTRA_CA_CERTS"] = str(authority.ca_path)
    said = run(["node", "--test", "orders.test.mjs"], folder=tmp_path, environment=home)
    assert re.search(r"^# pass 1$", said, flags=re.MULTILINE), said


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_two_commands_publish_an_event(tmp_path: Path, home: dict[str, str]) -> None:
    start, publish, *_ = blocks("sh").values()
    start = start.replace("--port 8443", "--port 0 --json")  # another relay may have that port
    relay = subprocess.Popen(
        start.split(), env=home, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert relay.stdout is not None
        ready = relay.stdout.readline()
        (port,) = re.findall(r'"http":"https://localhost:(\d+)/event"', ready)
        script = publish.replace("8443", port)
        said = run(["sh", "-c", script], folder=tmp_path, environment=home)
        assert re.fullmatch(
            r'\{"failed":\[\],"successful":\[\{"identifier":".+","index":0\}\]\}', said
        )
    finally:
        relay.terminate()
        relay.wait(10)
        assert relay.stdout is not None
        relay.stdout.close()
