"""The link over a wire in memory: what the channel says becomes happenings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from event_protocol.codec import decode, encode
from event_protocol.frames import (
    Accepted,
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Frame,
    OperationError,
    Publish,
    PublishError,
    PublishSuccess,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    WireError,
)
from event_protocol.live import MessageCode, Packet, encode_packet
from event_protocol.phases import Outcome
from runtime_shim import mailbox as module
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.errors import Obstacle
from runtime_shim.link import SUBSCRIPTION, Link, denied

WORKER = "w" * 32
CONFIG = ShimConfig(
    runtime_api="127.0.0.1:9001",
    realtime=Endpoint("h"),
    http_host="h",
    api_key="da2-z",
    ca=None,
    app="app",
    stage="dev",
    namespace="sst",
    function_id="fn",
    worker_id=WORKER,
)
ERRORS = (WireError("UnauthorizedException", "no", 401),)
PING = Packet(MessageCode.PING, "dev", "x", 0, b"{}\n", final=True)


class FakeWire:
    def __init__(self) -> None:
        self.is_open = True
        self.end: Obstacle | None = None
        self.sent: list[Frame] = []
        self.on_text: Callable[[str], None] = lambda _: None
        self.on_end: Callable[[Obstacle], None] = lambda _: None
        self.closed_after: float | None = None

    def send_text(self, text: str) -> None:
        self.sent.append(decode(text))

    def say(self, frame: Frame) -> None:
        self.on_text(encode(frame))

    async def close(self, seconds: float) -> None:
        self.closed_after = seconds


async def opened() -> tuple[Link, FakeWire]:
    """A link behind its opening, and its wire."""
    link, wire = Link(CONFIG), FakeWire()
    link.attach(wire)  # type: ignore[arg-type]
    for frame, consent in (
        (ConnectionInit(), ConnectionAck(300.0)),
        (Subscribe(SUBSCRIPTION, "/sst/app/dev/w/in"), SubscribeSuccess(SUBSCRIPTION)),
    ):
        asking = asyncio.ensure_future(link.ask(frame))
        await asyncio.sleep(0)
        wire.say(consent)
        await asking
    wire.sent.clear()
    return link, wire


def deliver(wire: FakeWire, packet: Packet, *, id_: str = SUBSCRIPTION) -> None:
    wire.say(Data(id_, encode_packet(packet)))


async def happening(link: Link) -> Any:
    return await link.next_happening(0.0)


async def test_a_publish_is_a_frame_for_the_developers_channel() -> None:
    link, wire = await opened()
    operation = link.publish('{"a":1}')
    (frame,) = wire.sent
    assert isinstance(frame, Publish)
    assert (frame.id, frame.channel, frame.events) == (operation, "/sst/app/dev/in", ('{"a":1}',))
    assert frame.authorization == {"x-api-key": "da2-z"}


async def test_happenings_come_in_their_order() -> None:
    link, wire = await opened()
    link.listen()
    first, second = link.publish("1"), link.publish("2")
    wire.say(PublishSuccess(second, (Accepted("e", 0),)))
    deliver(wire, PING)
    wire.say(PublishError(first, ERRORS))
    assert (await happening(link)).id == second
    assert await happening(link) == PING
    assert isinstance(await happening(link), PublishError)
    with pytest.raises(TimeoutError):
        await happening(link)


async def test_a_wait_ends_with_what_happens() -> None:
    link, wire = await opened()
    link.listen()
    waiting = asyncio.ensure_future(link.next_happening(3600.0))
    await asyncio.sleep(0)
    deliver(wire, PING)
    assert await waiting == PING


async def test_what_comes_between_invocations_is_dropped_except_the_wish_for_an_init() -> None:
    link, wire = await opened()
    deliver(wire, PING)
    assert not link.wants_init
    deliver(wire, Packet(MessageCode.REBOOT, "dev", "r", 0, b"{}\n", final=True))
    assert link.wants_init
    link.listen()
    with pytest.raises(TimeoutError):
        await happening(link)


async def test_what_was_heard_for_one_invocation_is_not_kept_for_the_next() -> None:
    link, wire = await opened()
    link.listen()
    deliver(wire, PING)
    link.ignore()
    link.listen()
    with pytest.raises(TimeoutError):
        await happening(link)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type":"data","id":"guest"}',
        '{"type":"data","id":"another","event":"{}"}',
        encode(Data(SUBSCRIPTION, json.dumps("not a packet"))),
        encode(PublishSuccess("never-sent", ())),
        encode(Data(SUBSCRIPTION, encode_packet(Packet(2, WORKER, "own", 0, b"", final=True)))),
    ],
)
async def test_what_answers_nothing_does_not_happen(text: str) -> None:
    link, wire = await opened()
    link.listen()
    wire.on_text(text)
    deliver(wire, PING)
    assert await happening(link) == PING


async def test_the_end_is_the_last_happening_and_happens_for_ever() -> None:
    link, wire = await opened()
    link.listen()
    deliver(wire, PING)
    end = Obstacle(Outcome.RESET, errno=104)
    wire.on_end(end)
    assert await happening(link) == PING
    assert await happening(link) is end
    assert await happening(link) is end
    assert not link.is_open
    wire.sent.clear()
    link.publish("1")
    assert wire.sent == []


async def test_a_connection_error_later_on_ends_the_link() -> None:
    link, wire = await opened()
    wire.say(ConnectionRefused(ERRORS))
    assert not link.is_open
    link.listen()
    end = await happening(link)
    assert (end.outcome, end.facts["code"]) == (Outcome.DENIED, 401)


async def test_an_error_without_an_id_happens_and_does_not_end_the_link() -> None:
    link, wire = await opened()
    link.listen()
    wire.say(OperationError((WireError("LimitExceededError"),)))
    assert isinstance(await happening(link), OperationError)
    assert link.is_open


async def test_more_than_can_be_kept_ends_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAILBOX_SIZE", 2)
    link, wire = await opened()
    link.listen()
    for _ in range(3):
        deliver(wire, PING)
    assert [type(await happening(link)) for _ in range(3)] == [Packet, Packet, Obstacle]


async def test_a_flood_between_invocations_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAILBOX_SIZE", 2)
    link, wire = await opened()
    for _ in range(3):
        deliver(wire, PING)
    assert link.is_open


@pytest.mark.parametrize(
    "refusal",
    [
        ConnectionRefused(ERRORS),
        SubscribeError(SUBSCRIPTION, ERRORS),
        OperationError(ERRORS, SUBSCRIPTION),
        OperationError(ERRORS),
    ],
)
async def test_an_opening_that_is_refused_says_why(refusal: Frame) -> None:
    link, wire = Link(CONFIG), FakeWire()
    link.attach(wire)  # type: ignore[arg-type]
    asking = asyncio.ensure_future(link.ask(Subscribe(SUBSCRIPTION, "/sst/app/dev/w/in")))
    await asyncio.sleep(0)
    wire.say(refusal)
    with pytest.raises(Obstacle) as caught:
        await asking
    assert caught.value.facts["error_type"] == "UnauthorizedException"


async def test_an_opening_whose_wire_ends_ends() -> None:
    link, wire = Link(CONFIG), FakeWire()
    wire.end = Obstacle(Outcome.CLOSED, code=1000)
    link.attach(wire)  # type: ignore[arg-type]
    with pytest.raises(Obstacle):
        await link.ask(ConnectionInit())
    assert wire.sent == []


async def test_a_service_that_is_silent_for_too_long_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link, _ = await opened()
    assert link.is_open
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 299.0)
    assert link.is_open
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 301.0)
    assert not link.is_open


async def test_an_age_counts_the_time_in_which_the_environment_was_frozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link, _ = await opened()
    assert link.age < 100
    now = module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 1000.0)
    assert link.age >= 1000


async def test_closing_says_farewell_within_its_budget() -> None:
    link, wire = await opened()
    await link.close()
    assert wire.closed_after == CONFIG.budgets.link_close
    await Link(CONFIG).close()  # one that was never attached


def test_a_denial_repeats_no_key() -> None:
    error = WireError("BadRequestException", "your key da2-zzzzzzzzzzzzzzzzzzzzzzzzzz is bad")
    assert "da2-" not in denied((error,)).facts["message"]
