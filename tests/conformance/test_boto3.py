"""boto3's appsync client: the control plane, on the region's own endpoint name."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.field import open_field, python_script

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
        assert await field.checks(python_script("boto3_client")) == CHECKS


async def test_boto3_pages_through_many(tmp_path: Path) -> None:
    async with open_field(tmp_path, golden=None) as field:
        assert await field.checks(python_script("boto3_pages")) == PAGES
