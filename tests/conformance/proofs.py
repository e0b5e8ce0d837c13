"""What each client's run has proved, as rows of the table in docs/parity.md.

A run with ``NATLESS_RECORD=1`` writes its rows; every other run checks that they are what the page
says. Versions are those that the lock files name, so a row is the same on every machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.field import RECORDING

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "parity.md"
BEGIN = "<!-- written by the conformance run: NATLESS_RECORD=1 -->"
END = "<!-- until here -->"
HEAD = ["| Client | Version | Test | What held |", "| --- | --- | --- | --- |"]


def npm_version(name: str, folder: str = "node") -> str:
    """The version that ``package-lock.json`` of a folder names."""
    lock = json.loads((HERE / folder / "package-lock.json").read_text())
    version: str = lock["packages"][f"node_modules/{name}"]["version"]
    return version


def pip_version(name: str, lock: Path = ROOT / "requirements.lock") -> str:
    """The version that a requirements lock names."""
    found = re.search(rf"^{re.escape(name)}==([^ ;\\]+)", lock.read_text(), flags=re.MULTILINE)
    assert found, f"{lock}: no {name}"
    return found[1]


def prove(client: str, version: str, *, test: str, held: Sequence[str]) -> None:
    """Puts down, or compares, what a test has just shown.

    Args:
        client: its name and where it comes from.
        version: of the package.
        test: ``test_file.py::test_name``; with a client, the key of the row.
        held: the checks, as sentences.
    """
    row = f"| {client} | {version} | `conformance/{test}` | {'; '.join(held)} |"
    before, rows, after = _read()
    if RECORDING:
        others = [each for each in rows if _key(each) != _key(row)]
        table = "\n".join([*HEAD, *sorted([*others, row])])
        PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    else:
        assert row in rows, "docs/parity.md says something else: run this with NATLESS_RECORD=1"


def _read() -> tuple[str, list[str], str]:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = [line for line in table.splitlines() if line.startswith("|") and line not in HEAD]
    return before, rows, after


def _key(row: str) -> tuple[str, str]:
    cells = [cell.strip() for cell in row.split("|")]
    return cells[1], cells[3]
