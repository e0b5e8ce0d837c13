"""aws-amplify, Events API, in Node: on the npm package ws and on Node's own WebSocket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.field import open_field
from tests.conformance.installed import node_clients, node_script
from tests.conformance.proofs import npm_version, prove

CHECKS = [
    "connects and subscribes with an API key",
    "publishes on the WebSocket, any JSON value, and receives it",
    "publishes over HTTP, one and five at once, and receives all",
    "a wildcard hears every depth below it and not itself",
    "two subscriptions of one channel each hear an event once",
    "an ended subscription hears nothing more",
    "six events are refused both ways, each with its own reason",
    "an unknown namespace is refused: subscribe, publish, post",
    "a wrong API key is believed at once: one dial, no retry",
    "IAM: connects, subscribes, publishes both ways",
    "IAM on one channel beside an API key on the same socket",
    "IAM with a wrong secret is believed at once: one dial, no retry",
]


@pytest.mark.parametrize("socket", ["ws", "builtin"])
async def test_amplify_cannot_tell(socket: str, tmp_path: Path) -> None:
    clients = node_clients()
    golden = f"amplify-{socket}"
    async with open_field(tmp_path, golden=golden) as field:
        field.settings["socket"] = socket
        held = await field.checks(node_script("amplify", clients, tmp_path))
    assert held == CHECKS
    where = f"on ws {npm_version('ws')}" if socket == "ws" else "on Node's own WebSocket"
    prove_amplify(where, "test_amplify_cannot_tell", held)


async def test_amplify_cannot_tell_on_localhost_and_a_port(tmp_path: Path) -> None:
    clients = node_clients()
    async with open_field(tmp_path, golden=None) as field:
        field.settings |= {"socket": "ws", "httpHost": f"localhost:{field.local_port}"}
        held = await field.checks_outside(node_script("amplify", clients, tmp_path))
    assert held == CHECKS
    prove_amplify("at localhost:PORT", "test_amplify_cannot_tell_on_localhost_and_a_port", held)


def prove_amplify(where: str, test: str, held: list[str]) -> None:
    client, version = f"aws-amplify (npm), Events, {where}", npm_version("aws-amplify")
    prove(client, version, test=f"test_amplify.py::{test}", held=held)
