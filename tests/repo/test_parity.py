"""docs/parity.md names tests that exist, versions that are pinned, and leaves no item out."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance import proofs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
GRADES = re.compile(r"same|superset|switch \(`[^`]+`\)|not yet")
ITEMS = [f"D{number}" for number in range(1, 19)] + [f"T{number}" for number in range(1, 39)]


def rows(prefix: str) -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if re.match(rf"\| {prefix}\d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_item_is_there_once_and_in_order() -> None:
    assert [row[0] for row in rows("D") + rows("T")] == ITEMS


def test_every_item_has_a_grade_and_evidence_unless_nothing_is_there_yet() -> None:
    for number, _, grade, evidence, *_ in rows("D") + rows("T"):
        assert GRADES.fullmatch(grade), number
        assert "`" in evidence or (grade, evidence) == ("not yet", "none"), number


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > len(ITEMS)
    for path, test in named:
        source = (ROOT / "tests" / path.removeprefix("tests/")).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, f"{path}::{test}"


def test_the_clients_are_of_the_versions_that_are_pinned() -> None:
    pinned = {
        "aws-amplify": proofs.npm_version("aws-amplify"),
        "ob-appsync-events-request": proofs.npm_version("ob-appsync-events-request"),
        "SST's bridge": proofs.npm_version("sst-linux-x64"),
        "`sst dev`": proofs.npm_version("sst-linux-x64"),
        "Stelvio": proofs.pip_version("stelvio", proofs.HERE / "python" / "stelvio.lock"),
        "aws-lambda-ric": proofs.npm_version("aws-lambda-ric", "node-ric"),
        "boto3": proofs.pip_version("boto3"),
        "gql": proofs.pip_version("gql"),
        "websockets": proofs.pip_version("websockets"),
    }
    table = PAGE.partition(proofs.BEGIN)[2].partition(proofs.END)[0]
    found = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `", table, flags=re.MULTILINE)
    assert found
    unproved = set(pinned)
    for client, version in found:
        (name,) = [name for name in pinned if client.startswith(name)]
        assert version == pinned[name], client
        unproved.discard(name)
    assert not unproved
