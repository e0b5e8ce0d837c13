"""ob-appsync-events-request: signed HTTP publish from Node, with a body member AWS ignores."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.field import open_field
from tests.conformance.installed import node_clients, node_script
from tests.conformance.proofs import npm_version, prove

CHECKS = [
    "publishes five events in a signed request, and they arrive",
    "a request that was changed after signing is refused",
]


async def test_the_signed_publish_request_cannot_tell(tmp_path: Path) -> None:
    clients = node_clients()
    async with open_field(tmp_path, golden="ob-request") as field:
        held = await field.checks(node_script("request", clients, tmp_path))
    assert held == CHECKS
    prove(
        "ob-appsync-events-request (npm)",
        npm_version("ob-appsync-events-request"),
        test="test_request.py::test_the_signed_publish_request_cannot_tell",
        held=held,
    )
