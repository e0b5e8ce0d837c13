"""gql: its AppSync transports, over HTTP and WebSocket, with every kind of credentials it has."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.field import open_field, python_script
from tests.conformance.proofs import pip_version, prove
from tests.golden.relay import USER_POOL_CONFIG

CHECKS = [
    "publishes over HTTP and hears it on the WebSocket with an API key",
    "publishes over HTTP and hears it on the WebSocket with IAM",
    "publishes over HTTP and hears it on the WebSocket with a JWT",
    "hears only its own name, and null for what the mutation did not select",
    "a wrong key is refused over HTTP and on the WebSocket",
    "a query that does not fit the schema is answered with errors",
    "a subscription that does not fit the schema is an error of that subscription",
]


async def test_gql_cannot_tell(tmp_path: Path) -> None:
    async with open_field(tmp_path, golden="gql", config=USER_POOL_CONFIG) as field:
        field.settings["jwt"] = await field.relay.mint()
        held = await field.checks(python_script("gql_client"))
    assert held == CHECKS
    version = pip_version("gql")
    prove("gql (PyPI), AppSync", version, test="test_gql.py::test_gql_cannot_tell", held=held)
