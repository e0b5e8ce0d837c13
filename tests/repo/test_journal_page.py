"""Every kind of fact that the page names is recorded somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_names_only_kinds_that_the_code_records() -> None:
    code = "".join(
        path.read_text()
        for room in ("natless", "relay", "event_protocol")
        for path in (ROOT / room).rglob("*.py")
    )
    page = (ROOT / "docs" / "reference" / "journal.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows
    for row in rows:
        first = ""
        for name in re.findall(r"`([a-z_.]+)`", row.split("|")[1]):
            kind = first.rpartition(".")[0] + name if name.startswith(".") else name
            first = kind
            noun, _, verb = kind.rpartition(".")
            assert kind in code or (noun in code and verb in code), kind
