"""Stelvio's stub and listener from PyPI: the set-up through boto3, then calls over the channel."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.conformance.field import open_field, python_script
from tests.conformance.installed import python_at_least, python_client
from tests.conformance.proofs import HERE, pip_version, prove

CHECKS = [
    "the stub's call is answered by the listener",
    "the second call uses the same connection",
    "a failure of the handler comes back as the stub's 500",
]
LARGE = "450 KB each way, in chunks sent back to back"
READY_BUDGET = 30.0  # seconds: it imports Pulumi


async def run_both(directory: Path, *, golden: str | None, also: str) -> list[str]:
    python = str(python_client("stelvio", python=python_at_least(12)))
    async with open_field(directory, golden=golden) as field:
        listener = await field.start(python_script("stelvio_listener", python), COLUMNS="200")
        said = b""
        try:
            async with asyncio.timeout(READY_BUDGET):
                while b"connected to AppSync" not in said:
                    said += await listener.stdout.readuntil()
            rest = asyncio.ensure_future(listener.stdout.read())
            held = await field.checks(python_script("stelvio_stub", python), NATLESS_ALSO=also)
        except BaseException as error:
            listener.kill()
            error.add_note((said + await listener.stderr.read()).decode())
            raise
        listener.kill()
        await listener.wait()
        await rest
    return held


async def test_stelvios_stub_and_listener_cannot_tell(tmp_path: Path) -> None:
    held = await run_both(tmp_path, golden="stelvio", also="")
    assert held == CHECKS
    setup = "the listener creates API, namespace and key through boto3"
    prove_stelvio("test_stelvios_stub_and_listener_cannot_tell", [setup, *held])


async def test_stelvios_chunks_pass_the_relay(tmp_path: Path) -> None:
    held = await run_both(tmp_path, golden=None, also="large")
    assert held == [*CHECKS, LARGE]
    prove_stelvio("test_stelvios_chunks_pass_the_relay", [LARGE])


def prove_stelvio(test: str, held: list[str]) -> None:
    version = pip_version("stelvio", HERE / "python" / "stelvio.lock")
    client = "Stelvio (PyPI), stub and listener"
    prove(client, version, test=f"test_stelvio.py::{test}", held=held)
