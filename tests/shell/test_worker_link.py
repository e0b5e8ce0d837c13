"""The worker's connection to the channel, and what becomes of it."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from event_protocol.frames import WireError
from event_protocol.live import MessageCode
from natless.certificates import Authority
from natless.errors import ComponentFailed, UsageError
from natless.worker import WorkerBudgets
from tests.shell.lambda_scripts import Runtime, ScriptedLauncher
from tests.shell.worker_channel import API_KEY, Channel, Facts, Guest, worker_for

QUICK = WorkerBudgets(reconnect_first=0.001, reconnect_max=0.002)


async def echo(runtime: Runtime) -> None:
    while True:
        headers, body = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)


@pytest.fixture
async def channel():
    async with Channel().serve() as served:
        yield served


@pytest.fixture
async def facts():
    return Facts()


async def test_a_worker_is_subscribed_with_its_key_when_its_block_begins(channel, facts, tmp_path):
    async with worker_for(channel, facts, tmp_path) as worker:
        assert worker.is_live
        assert channel.subscribed == ["/sst/app/dev/in"]
        assert channel.offers == [{"host": "api.example", "x-api-key": API_KEY}]
    assert not worker.is_live
    [opened] = facts.of("worker.connect.complete")
    assert opened.data["channel"] == "/sst/app/dev/in"


@pytest.mark.parametrize(
    ("refusal", "value", "said"),
    [
        ("refuse_upgrade", 403, "HTTP 403"),
        ("refuse_init", "UnauthorizedException", "UnauthorizedException: no"),
        ("refuse_subscribe", "BadRequestException", "BadRequestException"),
    ],
)
async def test_a_worker_that_is_refused_says_so_at_once(
    channel, facts, tmp_path, refusal, value, said
):
    setattr(channel, refusal, value)
    with pytest.raises(ComponentFailed, match=said) as caught:
        async with worker_for(channel, facts, tmp_path):
            pytest.fail("it was refused")
    assert "API key" in caught.value.hint
    assert len(channel.offers) == 1
    assert API_KEY not in str(caught.value)


async def test_a_worker_without_a_relay_gives_up_after_its_budget(facts, tmp_path):
    nowhere = Channel()
    nowhere.url = "ws://127.0.0.1:9/event/realtime"
    brief = replace(QUICK, ready=0.05)
    with pytest.raises(ComponentFailed, match=r"127\.0\.0\.1"):
        async with worker_for(nowhere, facts, tmp_path, budgets=brief):
            pytest.fail("there is no relay")
    assert facts.of("worker.connect.failed")


async def test_a_relay_that_says_nothing_is_given_up(channel, facts, tmp_path):
    channel.is_deaf = True
    brief = replace(QUICK, ack=0.01, ready=0.2)
    with pytest.raises(ComponentFailed, match="no connection_ack in"):
        async with worker_for(channel, facts, tmp_path, budgets=brief):
            pytest.fail("it has no subscription")
    assert len(channel.offers) > 1, "it tries again until its budget is spent"


async def test_a_folder_that_is_not_there_is_a_mistake_of_the_user(channel, facts):
    with pytest.raises(UsageError, match="no such folder"):
        async with worker_for(channel, facts, Path("/no/such/folder")):
            pytest.fail("there is nothing to run")


async def test_an_authority_that_cannot_be_read_is_a_mistake_of_the_user(channel, facts, tmp_path):
    (tmp_path / "broken.pem").write_text("not a certificate")
    for name in ("missing.pem", "broken.pem"):
        with pytest.raises(UsageError, match=name):
            async with worker_for(channel, facts, tmp_path, ca=tmp_path / name):
                pytest.fail("nobody can be trusted")


async def test_a_lost_connection_is_opened_again_and_subscribed(channel, facts, tmp_path):
    launcher = ScriptedLauncher(echo)
    async with worker_for(channel, facts, tmp_path, budgets=QUICK, launcher=launcher):
        guest = Guest(channel)
        await guest.introduce()
        await guest.invoke("r-1", 1)
        assert (await guest.answer()).body == b"1"
        await channel.drop()
        await channel.until(lambda: len(channel.subscribed) == 2)
        await guest.invoke("r-2", 2)
        assert (await guest.answer()).body == b"2"
    assert facts.of("worker.connect.closed")


async def test_an_answer_whose_connection_is_lost_is_sent_again_on_the_next(
    channel, facts, tmp_path
):
    launcher = ScriptedLauncher(echo)
    patient = replace(QUICK, publish=3600.0)
    async with worker_for(channel, facts, tmp_path, budgets=patient, launcher=launcher):
        guest = Guest(channel)
        await guest.introduce()
        channel.is_mute = True
        await guest.invoke("r-1", 1)
        await channel.until(
            lambda: MessageCode.RESPONSE in {packet.type for _, packet in channel.published}
        )
        assert not facts.of("worker.invocation.complete")
        channel.is_mute = False
        await channel.drop()
        await facts.wait("worker.invocation.complete")
        answers = [p for _, p in channel.published if p.type == MessageCode.RESPONSE]
    assert len(answers) == 2
    assert answers[0] == answers[1], "a repetition that the guest can recognize"


async def test_an_answer_that_is_refused_for_its_rate_is_sent_again(channel, facts, tmp_path):
    launcher = ScriptedLauncher(echo)
    async with worker_for(channel, facts, tmp_path, budgets=QUICK, launcher=launcher):
        guest = Guest(channel)
        await guest.introduce()
        channel.refuse_publish = [WireError("LimitExceededError", "Rate limit exceeded")] * 3
        await guest.invoke("r-1", 1)
        assert (await guest.answer()).body == b"1"
        await facts.wait("worker.invocation.complete")
    assert not facts.of("worker.invocation.failed")


async def test_an_answer_that_is_refused_for_good_is_reported_lost(channel, facts, tmp_path):
    async def when_told(runtime: Runtime) -> None:
        headers, body = await runtime.next()
        await channel.until(
            lambda: MessageCode.PING in {packet.type for _, packet in channel.published}
        )
        channel.refuse_publish = [WireError("UnauthorizedException", "no")]
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)
        await runtime.hang()

    launcher = ScriptedLauncher(when_told)
    async with worker_for(channel, facts, tmp_path, budgets=QUICK, launcher=launcher):
        guest = Guest(channel)
        await guest.introduce()
        await guest.invoke("r-1", 1)
        failed = await facts.wait("worker.invocation.failed")
    assert failed.data["answered"] is False
    assert failed.data["reason"] == "not published"
    assert "UnauthorizedException" in failed.data["message"]


async def test_a_silent_connection_is_given_up_after_what_the_ack_allows(channel, facts, tmp_path):
    channel.silence = 0.05
    async with worker_for(channel, facts, tmp_path, budgets=QUICK):
        await channel.until(lambda: len(channel.subscribed) >= 2)
    assert facts.of("worker.connect.closed")[0].data["reason"] == "peer silent"


async def test_a_worker_can_leave_while_it_reconnects(channel, facts, tmp_path):
    async with worker_for(channel, facts, tmp_path, budgets=replace(QUICK, reconnect_max=60.0)):
        channel.refuse_upgrade = 503
        await channel.drop()
        await facts.wait("worker.connect.failed")


async def test_a_worker_can_leave_while_it_connects(channel, facts, tmp_path):
    channel.is_deaf = True
    entering = asyncio.create_task(worker_for(channel, facts, tmp_path).__aenter__())
    await channel.until(lambda: bool(channel.offers))
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering


async def test_a_certificate_is_checked_for_the_name_and_not_for_the_address(
    channel, facts, tmp_path
):
    authority = Authority.for_user(tmp_path / "ca")
    pair = authority.issue(["api.test"], directory=tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    plain_host, plain_port = channel.url.removeprefix("ws://").partition("/")[0].split(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner = await asyncio.open_connection(plain_host, int(plain_port))
        async with asyncio.TaskGroup() as group:
            group.create_task(pipe(reader, inner))
            group.create_task(pipe(inner_reader, writer))

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(65536):
                writer.write(block)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as server:
        address = server.sockets[0].getsockname()
        channel.url = "wss://api.test:443/event/realtime"
        named = {"ca": authority.ca_path, "connect": address}
        async with worker_for(channel, facts, tmp_path, **named) as worker:
            assert worker.is_live
        channel.url = "wss://other.test:443/event/realtime"
        with pytest.raises(ComponentFailed, match=r"other\.test"):
            async with worker_for(
                channel, facts, tmp_path, budgets=replace(QUICK, ready=0.2), **named
            ):
                pytest.fail("the certificate is for api.test")
