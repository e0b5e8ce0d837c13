"""docs/reference/execution-environment.md names tests that exist, and leaves no number out."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from natless.lambda_host import extension_session, runtime_session
from natless.lambda_host.budgets import HostBudgets
from natless.lambda_host.response_stream import StreamLimits
from natless.settings import DevSettings, FunctionSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/execution-environment.md").read_text(encoding="utf-8")
GRADES = re.compile(r"same|superset|partly|switch \((?:`[\w.]+`(?:, )?)+\)|not yet")
ROWS = [
    [cell.strip() for cell in line.strip("|").replace("| |", "|  |").split(" | ")]
    for line in PAGE.splitlines()
    if re.match(r"\| [A-Z]\d+ \|", line)
]


def test_the_numbers_of_each_table_are_there_once_and_in_order() -> None:
    tables = [[row[0] for row in rows] for _, rows in groupby(ROWS, key=lambda row: row[0][0])]
    assert len(tables) == len({table[0][0] for table in tables}) == 8
    for table in tables:
        assert table == [f"{table[0][0]}{number}" for number in range(1, len(table) + 1)]


def test_every_row_has_a_grade_and_evidence_unless_nothing_is_there_yet() -> None:
    for number, _, grade, gap, evidence in ROWS:
        assert GRADES.fullmatch(grade), number
        assert "`" in evidence or (grade, evidence) == ("not yet", "none"), number
        assert grade != "partly" or "".join(gap).strip(" |"), (
            f"{number} does not say what is missing"
        )


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > len(ROWS)
    for path, test in named:
        source = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, f"{path}::{test}"


def test_every_switch_is_a_setting() -> None:
    switches = {name for row in ROWS for name in re.findall(r"`([\w.]+)`", row[2])}
    known = set(FunctionSettings.model_fields) | {f"dev.{key}" for key in DevSettings.model_fields}
    assert switches
    assert switches <= known


def test_the_figures_are_those_of_the_code() -> None:
    text = " ".join(cell for row in ROWS for cell in row[:2])
    budgets, limits = HostBudgets(), StreamLimits()
    for words in (
        f"may take {budgets.init:.0f} s",
        f"internal ones {budgets.shutdown_internal * 1000:.0f} ms",
        f"{budgets.shutdown_runtime * 1000:.0f} ms, `SHUTDOWN`",
        f"{budgets.shutdown_external:.0f} s in all",
        f"Up to {limits.total_bytes >> 20} MB; {limits.burst_bytes >> 20} MB at once",
        f"then {limits.rate_bytes >> 20} MB a second",
        f"filled up every {limits.refill * 1000:.0f} ms",
        f"Above {runtime_session.MAX_PAYLOAD_BYTES >> 20} MiB and 100 bytes",
    ):
        assert words in text, words
    assert extension_session.MAX_EXTENSIONS == 10
    assert "ten at most" in text
