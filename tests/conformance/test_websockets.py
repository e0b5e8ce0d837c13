"""Python websockets, written by the pages of the AWS AppSync Events developer guide."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.field import open_field, python_script
from tests.conformance.proofs import pip_version, prove

CHECKS = [
    "the 101 names aws-appsync-event-ws and nothing else",
    "offers in the other order, with a line feed in the token, are the same",
    "the ack tells 300000 ms and a ka follows",
    "a query string on the realtime path is ignored",
    "credentials in plain request headers connect as well",
    "subscribing without connection_init works",
    "an event comes back to the character, one frame each, as a string",
    "the ids of SST and Stelvio are legal: 24 hexadecimal digits, a word",
    "a second subscribe with an id in use is refused and the first lives on",
    "unsubscribe needs no credentials, frees the id, and is refused when unknown",
    "an unknown type is answered with UnsupportedOperation on a living socket",
    "text that is no JSON is answered on a living socket",
    "publish is refused with one error: six events, unknown namespace, wildcard",
    "subscribe is refused: six segments, a segment of 51, an underscore, bare *",
    "a wrong key: 101, then connection_error as the first frame, then close 1000",
    "no credentials at all: 101, then connection_error",
    "no subprotocol that is known: 101, then SubProtocolNotSupportedError",
]
LIMITS = [
    "an event above 240 KB fails alone, beside one that succeeds",
    "200 subscriptions on a connection, and the next is refused",
]


async def test_websockets_by_the_developer_guide(tmp_path: Path) -> None:
    async with open_field(tmp_path, golden="websockets") as field:
        held = await field.checks(python_script("websockets_client"))
    assert held == CHECKS
    prove_websockets("test_websockets_by_the_developer_guide", held)


async def test_websockets_at_the_limits(tmp_path: Path) -> None:
    async with open_field(tmp_path, golden=None) as field:
        held = await field.checks(python_script("websockets_limits"))
    assert held == LIMITS
    prove_websockets("test_websockets_at_the_limits", held)


def prove_websockets(test: str, held: list[str]) -> None:
    version = pip_version("websockets")
    prove("websockets (PyPI)", version, test=f"test_websockets.py::{test}", held=held)
