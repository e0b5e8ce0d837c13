"""What the relay's answers to polls become."""

from __future__ import annotations

import json
import ssl
import time
from typing import Any

import pytest

from event_protocol.live import MessageCode, Packet, encode_packet
from event_protocol.phases import Outcome
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.errors import Obstacle
from runtime_shim.http_messages import HttpMessage
from runtime_shim.poll_link import STALE, PollLink

CONFIG = ShimConfig(
    runtime_api="127.0.0.1:9001",
    realtime=Endpoint("h"),
    http_host="api.test:8443",
    api_key="da2-z",
    ca=None,
    app="app",
    stage="dev",
    namespace="sst",
    function_id="fn",
    worker_id="w" * 32,
)


def made() -> PollLink:
    return PollLink(CONFIG, context=ssl.create_default_context())


def event(name: str) -> str:
    return encode_packet(Packet(MessageCode.PING, "dev", name, 0, b"{}", final=True))


def reply(first: int, *events: Any, status: int = 200) -> HttpMessage:
    body = {"session": "s-1", "first": first, "events": events}
    return HttpMessage(f"HTTP/1.1 {status} X", {}, json.dumps(body).encode())


async def heard(link: PollLink) -> list[str]:
    names: list[str] = []
    while True:
        try:
            happening = await link.next_happening(0.0)
        except TimeoutError:
            return names
        assert isinstance(happening, Packet)
        names.append(happening.id)


async def test_it_leads_to_the_http_host() -> None:
    assert made().target == Endpoint("api.test", 8443)


async def test_what_is_given_again_is_taken_once() -> None:
    link = made()
    link.listen()
    link._take_reply(reply(1, event("a"), event("b")))
    link._take_reply(reply(1, event("a"), event("b"), event("c")))
    assert await heard(link) == ["a", "b", "c"]
    assert link._after == 3


async def test_an_empty_answer_changes_nothing_but_the_session() -> None:
    link = made()
    assert not link.is_open
    link._take_reply(reply(1))
    assert (link.is_open, link._session, link._after) == (True, "s-1", 0)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, Outcome.DENIED), (403, Outcome.DENIED), (404, Outcome.HTTP_ERROR), (500, "http-error")],
)
async def test_a_refusal_keeps_its_status(status: int, outcome: Outcome) -> None:
    with pytest.raises(Obstacle) as caught:
        made()._take_reply(reply(1, status=status))
    assert (caught.value.outcome, caught.value.facts["status"]) == (outcome, status)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"session":"s","first":"x","events":[]}']
)
async def test_what_is_no_answer_of_our_relay_is_one_of_somebody_else(body: bytes) -> None:
    with pytest.raises(Obstacle) as caught:
        made()._take_reply(HttpMessage("HTTP/1.1 200 OK", {}, body))
    assert caught.value.outcome is Outcome.HTTP_ERROR


async def test_an_environment_that_was_frozen_for_long_opens_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = made()
    link._take_reply(reply(1))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + STALE - 1)
    assert link.is_open
    monkeypatch.setattr(time, "time", lambda: now + STALE + 1)
    assert not link.is_open


async def test_a_channel_that_ended_proves_nothing() -> None:
    link = made()
    await link.prove(1.0)
    await link.close()
    assert not link.is_open
    with pytest.raises(Obstacle):
        await link.prove(1.0)
