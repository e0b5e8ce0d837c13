"""boto3's appsync client: the control plane, on the region's own endpoint name."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.field import open_field, python_script
from tests.conformance.proofs import pip_version, prove

CHECKS = [
    "lists the relay's own API",
    "creates an API with tags, and reads it back",
    "channel namespaces: create, read, change, list, delete, and no second of a name",
    "API keys: create, list, extend, delete; the id is the key",
    "tags of an API by its ARN: add, list, remove",
    "changes and deletes an API; then nothing of it is found",
    "what is not allowed is a BadRequestException with status 400",
]
PAGES = ["pages: thirty APIs come in pages of at most 25, and each once"]


async def test_boto3_runs_the_control_plane(tmp_path: Path) -> None:
    async with open_field(tmp_path, golden="boto3") as field:
        held = await field.checks(python_script("boto3_client"))
    assert held == CHECKS
    prove_boto3("test_boto3_runs_the_control_plane", held)


async def test_boto3_pages_through_many(tmp_path: Path) -> None:
    async with open_field(tmp_path, golden=None) as field:
        held = await field.checks(python_script("boto3_pages"))
    assert held == PAGES
    prove_boto3("test_boto3_pages_through_many", held)


def prove_boto3(test: str, held: list[str]) -> None:
    prove("boto3 (PyPI), appsync", pip_version("boto3"), test=f"test_boto3.py::{test}", held=held)
