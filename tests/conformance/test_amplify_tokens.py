"""aws-amplify with tokens: a user pool's, a Lambda authorizer's; and its GraphQL client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conformance.field import open_field
from tests.conformance.installed import node_clients, node_script
from tests.conformance.proofs import npm_version, prove
from tests.golden.relay import USER_POOL_CONFIG
from tests.golden.wire import Head, Reader

CHECKS = [
    "a token of a user pool connects, subscribes, publishes both ways",
    "a token that a user pool did not sign is refused",
    "GraphQL: subscribes with an API key and hears a mutation",
    "a Lambda authorizer is asked for each operation and believed",
    "a Lambda authorizer that says no is believed at connect",
]
TOKEN = "custom-token-of-ada"


@asynccontextmanager
async def authorizer(asked: list[dict[str, Any]]) -> AsyncIterator[str]:
    """A function at an address: says yes to one token, and keeps what it was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads = Reader()
        while data := await reader.read(1 << 16):
            for head in heads.feed(data):
                assert isinstance(head, Head)
                asked.append(json.loads(head.body))
                answer = json.dumps(
                    {"isAuthorized": asked[-1]["authorizationToken"] == TOKEN, "ttlOverride": 0}
                )
                length = f"Content-Length: {len(answer)}\r\n"
                kind = "Content-Type: application/json\r\n"
                writer.write(f"HTTP/1.1 200 OK\r\n{kind}{length}\r\n{answer}".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_amplify_with_tokens_cannot_tell(tmp_path: Path) -> None:
    clients = node_clients()
    asked: list[dict[str, Any]] = []
    async with authorizer(asked) as uri:
        config = f'{USER_POOL_CONFIG}\n[api.lambda]\nuri = "{uri}"\n'
        async with open_field(tmp_path, golden=None, config=config) as field:
            field.settings |= {"jwt": await field.relay.mint(), "lambdaToken": TOKEN}
            held = await field.checks(node_script("tokens", clients, tmp_path))
    assert held == CHECKS
    contexts = [each["requestContext"] for each in asked]
    assert [context["operation"] for context in contexts] == [
        "EVENT_CONNECT",
        "EVENT_SUBSCRIBE",
        "EVENT_PUBLISH",
        "EVENT_CONNECT",
    ]
    assert [context["channel"] for context in contexts] == [
        None,
        "/default/lambda",
        "/default/lambda",
        None,
    ]
    prove(
        "aws-amplify (npm), tokens and GraphQL",
        npm_version("aws-amplify"),
        test="test_amplify_tokens.py::test_amplify_with_tokens_cannot_tell",
        held=held,
    )
