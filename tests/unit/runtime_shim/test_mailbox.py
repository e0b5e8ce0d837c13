"""What is kept of what a channel says, and for whom."""

from __future__ import annotations

import asyncio
import time

import pytest

from event_protocol.live import Feature, Hello, MessageCode, Packet, encode_packet
from event_protocol.phases import Outcome
from runtime_shim.errors import Obstacle
from runtime_shim.mailbox import INSTANCES_COUNT, Agreement, Mailbox

WORKER = "w" * 32
CLOSED = Obstacle(Outcome.CLOSED, code=1000)


def packet(code: int, body: bytes = b"{}", *, source: str = "dev", id_: str = "x") -> str:
    return encode_packet(Packet(code, source, id_, 0, body, final=True))


def hello(*features: str, instance: str = "a", now: float = 0.0) -> str:
    return packet(MessageCode.HELLO, Hello(frozenset(features), instance, now).encode())


async def test_a_hello_counts_also_between_invocations() -> None:
    mailbox = Mailbox(WORKER)
    mailbox.take_event(hello("beat", "cancel"))
    assert mailbox.agreement.features == {Feature.BEAT, Feature.CANCEL}


async def test_what_was_agreed_outlives_the_channel() -> None:
    agreement = Agreement()
    Mailbox(WORKER, agreement).take_event(hello("beat"))
    assert Mailbox(WORKER, agreement).agreement.features == {Feature.BEAT}


async def test_who_does_not_know_us_has_agreed_to_nothing() -> None:
    mailbox = Mailbox(WORKER)
    mailbox.take_event(hello("beat"))
    mailbox.take_event(packet(MessageCode.REBOOT))
    assert mailbox.wants_init
    assert mailbox.agreement.features == frozenset()


async def test_two_developers_on_one_stage_are_told_apart() -> None:
    mailbox = Mailbox(WORKER)
    for name in ("a", "b", "a"):
        mailbox.take_event(hello("beat", instance=name))
    assert list(mailbox.agreement.instances) == ["a", "b"]
    for number in range(100):
        mailbox.take_event(hello("beat", instance=str(number)))
    assert len(mailbox.agreement.instances) == INSTANCES_COUNT


async def test_the_developers_clock_is_compared_with_ours() -> None:
    agreement = Agreement()
    agreement.take(Hello(frozenset(), "a", time.time() + 100))
    assert 99 < agreement.offset < 101


async def test_a_hello_that_cannot_be_read_agrees_to_nothing() -> None:
    mailbox = Mailbox(WORKER)
    mailbox.take_event(packet(MessageCode.HELLO, b"[]"))
    assert mailbox.agreement.features == frozenset()


async def test_our_own_probe_is_the_proof_and_nothing_that_happens() -> None:
    mailbox = Mailbox(WORKER)
    mailbox.listen()
    probe, back = mailbox.expect_proof()
    assert (probe.type, probe.source) == (MessageCode.PROBE, WORKER)
    mailbox.take_event(packet(MessageCode.PROBE, source=WORKER, id_="another"))
    assert not back.done()
    mailbox.take_event(packet(MessageCode.PROBE, source="dev", id_=probe.id))
    assert not back.done(), "somebody else cannot prove our subscription"
    mailbox.take_event(encode_packet(probe))
    await back
    mailbox.ignore()


async def test_a_proof_fails_with_the_channel() -> None:
    mailbox = Mailbox(WORKER)
    _, back = mailbox.expect_proof()
    mailbox.finish(CLOSED)
    with pytest.raises(Obstacle):
        await back
    _, late = mailbox.expect_proof()
    with pytest.raises(Obstacle):
        await late


async def test_only_the_first_word_about_the_end_counts() -> None:
    mailbox = Mailbox(WORKER)
    mailbox.listen()
    waiting = asyncio.ensure_future(mailbox.next_happening(60.0))
    await asyncio.sleep(0)
    mailbox.finish(CLOSED)
    mailbox.finish(Obstacle(Outcome.RESET))
    assert await waiting is CLOSED
    assert await mailbox.next_happening(0.0) is CLOSED
