"""Every way a channel can fail, on real sockets: the phase, the outcome and the words for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from event_protocol.frames import (
    KeepAlive,
    OperationError,
    Publish,
    PublishError,
    Subscribe,
    SubscribeError,
    WireError,
)
from event_protocol.live import Message, MessageCode, Packet, decode_next, encode_packet
from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from tests.shell.shim_peers import (
    Posted,
    Say,
    ScriptedRelay,
    Send,
    bench,
    failure_of,
    make_certificate,
    refuse_connection,
    request_id,
    respond,
)

DENIED = (WireError("UnauthorizedException", "You are not authorized to make this call."),)


async def fail(tmp_path: Path, **options: object) -> tuple[Posted, InvocationRecord, Span]:
    """One invocation whose channel fails, answered by ``error``."""
    options.setdefault("NATLESS_FALLBACKS", "error")
    async with bench(tmp_path, **options) as lab:  # type: ignore[arg-type]
        posted, record = await lab.ask({}, timeout=8.0)
    assert posted.kind == "error"
    assert record.strategy is Strategy.ERROR
    failure = failure_of(record)
    assert failure is not None
    return posted, record, failure


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose listener takes no further connection: a SYN to it is never answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """A port that accepts connections and never says a word."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_an_unanswered_syn_is_a_connect_timeout(tmp_path: Path) -> None:
    with full_backlog() as port:
        posted, _, span = await fail(
            tmp_path, host=f"127.0.0.1:{port}", NATLESS_BUDGET_CONNECT_TCP="0.3"
        )
    assert (span.phase, span.outcome) == (Phase.CONNECT, Outcome.TIMEOUT)
    assert (span.budget, span.budget_seconds) == ("connect.tcp", 0.3)
    assert span.detail["errno"] is None
    assert span.detail["address"] == "127.0.0.1"
    assert posted.json["errorType"] == "LiveBridge.ConnectTimeout"
    assert posted.json["stackTrace"] == []
    for word in ("connect", "no answer", "127.0.0.1", "connect.tcp", "NAT gateway"):
        assert word in posted.json["errorMessage"]


async def test_a_refused_connection_is_told_from_an_unanswered_one(tmp_path: Path) -> None:
    posted, _, span = await fail(tmp_path, host=f"127.0.0.1:{_free_port()}")
    assert (span.phase, span.outcome) == (Phase.CONNECT, Outcome.REFUSED)
    assert span.detail["errno"] == 111
    assert posted.json["errorType"] == "LiveBridge.ConnectRefused"


async def test_a_name_that_cannot_be_a_name_is_not_found(tmp_path: Path) -> None:
    _, _, span = await fail(tmp_path, host="a..b")
    assert (span.phase, span.outcome) == (Phase.RESOLVE, Outcome.NAME_NOT_FOUND)


async def test_an_unknown_authority_is_a_tls_error(tmp_path: Path) -> None:
    other, _ = make_certificate(tmp_path / "other", "localhost")
    posted, _, span = await fail(tmp_path, NATLESS_CA=str(other))
    assert (span.phase, span.outcome) == (Phase.TLS, Outcome.TLS_ERROR)
    assert "unable to get local issuer certificate" in span.detail["message"]
    assert posted.json["errorType"] == "LiveBridge.TlsError"


async def test_a_certificate_for_another_name_is_a_tls_error(tmp_path: Path) -> None:
    _, _, span = await fail(tmp_path, certificate_names=("example.test",))
    assert (span.phase, span.outcome) == (Phase.TLS, Outcome.TLS_ERROR)
    assert "localhost" in span.detail["message"]


async def test_a_server_that_is_silent_after_the_handshake_of_tcp_is_a_tls_timeout(
    tmp_path: Path,
) -> None:
    async with silent_server() as port:
        _, _, span = await fail(
            tmp_path, host=f"127.0.0.1:{port}", NATLESS_BUDGET_CONNECT_TLS="0.3"
        )
    assert (span.phase, span.outcome, span.budget) == (Phase.TLS, Outcome.TIMEOUT, "connect.tls")


async def test_an_upgrade_that_is_refused_keeps_status_peer_and_body(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        relay.on_request = respond(403, b'{"message":"Forbidden"}')

    posted, _, span = await fail(tmp_path, set_up=set_up)
    assert (span.phase, span.outcome) == (Phase.UPGRADE, Outcome.HTTP_ERROR)
    assert (span.detail["status"], span.detail["address"]) == (403, "127.0.0.1")
    assert span.detail["body"] == '{"message":"Forbidden"}'
    assert posted.json["errorType"] == "LiveBridge.UpgradeHttpError"
    assert "HTTP 403 from 127.0.0.1" in posted.json["errorMessage"]
    assert "interface endpoint" in posted.json["errorMessage"]


@pytest.mark.parametrize(
    ("reply", "outcome", "status"),
    [
        (b"", Outcome.TIMEOUT, None),
        (b"HTTP/1.1 403 Forbidden\r\n\r\nno length and no end", Outcome.HTTP_ERROR, 403),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Outcome.HTTP_ERROR, 200),
        (b"SSH-2.0-OpenSSH_9\r\n", Outcome.HTTP_ERROR, None),
    ],
)
async def test_odd_answers_to_the_upgrade(
    tmp_path: Path, reply: bytes, outcome: Outcome, status: int | None
) -> None:
    async with _tls_server(tmp_path, reply) as (port, ca):
        _, _, span = await fail(
            tmp_path,
            host=f"localhost:{port}",
            NATLESS_CA=ca,
            NATLESS_BUDGET_CONNECT_UPGRADE="0.3",
        )
    assert (span.phase, span.outcome) == (Phase.UPGRADE, outcome)
    assert span.detail.get("status") == status


async def test_an_upgrade_that_is_cut_is_closed(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        def cut(connection: object, _: object) -> None:
            connection.transport.abort()  # type: ignore[attr-defined]

        relay.on_request = cut

    _, _, span = await fail(tmp_path, set_up=set_up)
    assert span.phase is Phase.UPGRADE
    assert span.outcome in {Outcome.CLOSED, Outcome.RESET}


async def test_a_connection_error_is_denied_with_its_reason(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        relay.on_open = refuse_connection

    posted, _, span = await fail(tmp_path, set_up=set_up)
    assert (span.phase, span.outcome) == (Phase.INIT, Outcome.DENIED)
    assert span.detail["error_type"] == "UnauthorizedException"
    assert span.detail["code"] == 401
    assert posted.json["errorType"] == "LiveBridge.InitDenied"
    assert "not authorized" in posted.json["errorMessage"]


async def test_a_connection_that_is_never_acknowledged_times_out(tmp_path: Path) -> None:
    async def say_nothing(_: Send) -> None:
        return

    def set_up(relay: ScriptedRelay) -> None:
        relay.on_init = say_nothing

    _, _, span = await fail(tmp_path, set_up=set_up, NATLESS_BUDGET_CONNECT_ACK="0.3")
    assert (span.phase, span.outcome, span.budget) == (Phase.INIT, Outcome.TIMEOUT, "connect.ack")


async def test_a_close_in_place_of_the_acknowledgement_is_closed(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        async def close(_: Send) -> None:
            await relay.connections[-1].close(1011, "going away")

        relay.on_init = close

    _, _, span = await fail(tmp_path, set_up=set_up)
    assert (span.phase, span.outcome) == (Phase.INIT, Outcome.CLOSED)
    assert (span.detail["code"], span.detail["message"]) == (1011, "going away")


@pytest.mark.parametrize("kind", ["subscribe_error", "error with its id", "error without an id"])
async def test_a_subscription_that_is_refused_is_denied(tmp_path: Path, kind: str) -> None:
    async def refuse(send: Send, frame: Subscribe) -> None:
        if kind == "subscribe_error":
            await send(SubscribeError(frame.id, DENIED))
        else:
            await send(OperationError(DENIED, frame.id if "with its" in kind else None))

    def set_up(relay: ScriptedRelay) -> None:
        relay.on_subscribe = refuse

    _, _, span = await fail(tmp_path, set_up=set_up)
    assert (span.phase, span.outcome) == (Phase.SUBSCRIBE, Outcome.DENIED)


async def test_a_keepalive_is_not_taken_for_a_subscription(tmp_path: Path) -> None:
    async def only_keep_alive(send: Send, _: Subscribe) -> None:
        await send(KeepAlive())

    def set_up(relay: ScriptedRelay) -> None:
        relay.on_subscribe = only_keep_alive

    _, _, span = await fail(tmp_path, set_up=set_up, NATLESS_BUDGET_SUBSCRIBE_ACK="0.3")
    assert (span.phase, span.outcome) == (Phase.SUBSCRIBE, Outcome.TIMEOUT)


@pytest.mark.parametrize("kind", ["publish_error", "error with its id", "error without an id"])
async def test_a_publish_that_is_refused_is_denied_at_once(tmp_path: Path, kind: str) -> None:
    async def refuse(send: Send, frame: Publish) -> bool:
        if kind == "publish_error":
            await send(PublishError(frame.id, DENIED))
        else:
            await send(OperationError(DENIED, frame.id if "with its" in kind else None))
        return False

    def set_up(relay: ScriptedRelay) -> None:
        relay.on_publish = refuse

    _, _, span = await fail(tmp_path, set_up=set_up)
    assert (span.phase, span.outcome) == (Phase.PUBLISH, Outcome.DENIED)
    assert span.detail["attempt"] == 1


async def test_a_publish_that_nobody_confirms_times_out(tmp_path: Path) -> None:
    async def ignore(_: Send, __: Publish) -> bool:
        return False

    def set_up(relay: ScriptedRelay) -> None:
        relay.on_publish = ignore

    _, _, span = await fail(tmp_path, set_up=set_up, NATLESS_BUDGET_PUBLISH_ANSWER="0.3")
    assert (span.phase, span.outcome) == (Phase.PUBLISH, Outcome.TIMEOUT)


async def test_without_a_worker_the_first_word_never_comes(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        relay.developer = None

    posted, _, span = await fail(tmp_path, set_up=set_up, NATLESS_BUDGET_DEV_FIRST="0.3")
    assert (span.phase, span.outcome, span.budget) == (Phase.DELIVER, Outcome.TIMEOUT, "dev.first")
    assert posted.json["errorType"] == "LiveBridge.DeliverTimeout"
    assert "developer's side" in posted.json["errorMessage"]


async def test_a_handler_that_never_returns_is_answered_before_the_deadline(
    tmp_path: Path,
) -> None:
    async def take(_: Message, say: Say) -> None:
        await say(MessageCode.PING, b"{}\n")

    async with bench(tmp_path, NATLESS_FALLBACKS="error") as lab:
        lab.developer.on_next = take
        posted, record = await lab.ask({}, timeout=1.0)
    span = failure_of(record)
    assert span is not None
    assert (span.phase, span.outcome, span.budget) == (Phase.HANDLE, Outcome.TIMEOUT, "dev.total")
    assert span.detail["clipped"] is True
    assert posted.json["errorType"] == "LiveBridge.HandleTimeout"
    assert "function's timeout" in posted.json["errorMessage"]


async def test_an_answer_that_stops_halfway_is_given_up(tmp_path: Path) -> None:
    async def half(message: Message, say: Say) -> None:
        name = request_id(decode_next(message.body))
        await say(MessageCode.PING, b"{}\n")
        packet = Packet(MessageCode.RESPONSE, "dev", name, 0, b'"half', final=False)
        await say.deliver(encode_packet(packet))

    def set_up(relay: ScriptedRelay) -> None:
        assert relay.developer is not None
        relay.developer.on_next = half

    _, _, span = await fail(tmp_path, set_up=set_up, NATLESS_BUDGET_CHUNK_GAP="0.3")
    assert (span.phase, span.outcome, span.budget) == (Phase.HANDLE, Outcome.TIMEOUT, "chunk.gap")


@pytest.mark.parametrize("phase", [Phase.DELIVER, Phase.HANDLE])
async def test_a_channel_that_closes_while_we_wait_is_closed(tmp_path: Path, phase: Phase) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        async def close(_: Message, say: Say) -> None:
            if phase is Phase.HANDLE:
                await say(MessageCode.PING, b"{}\n")
            await relay.connections[-1].close()

        assert relay.developer is not None
        relay.developer.on_next = close

    _, _, span = await fail(tmp_path, set_up=set_up)
    assert (span.phase, span.outcome) == (phase, Outcome.CLOSED)


async def test_a_wait_never_outlives_the_invocation(tmp_path: Path) -> None:
    with full_backlog() as port:
        options = {"NATLESS_FALLBACKS": "error", "NATLESS_BUDGET_CONNECT_TCP": "60"}
        async with bench(tmp_path, host=f"127.0.0.1:{port}", **options) as lab:
            posted, record = await lab.ask({}, timeout=3.0)
    span = failure_of(record)
    assert span is not None
    assert span.budget_seconds <= 2.5
    assert span.detail["clipped"] is True
    assert posted.json["errorType"] == "LiveBridge.ConnectTimeout"


async def test_the_next_invocation_tries_the_channel_again(tmp_path: Path) -> None:
    def set_up(relay: ScriptedRelay) -> None:
        relay.on_request = respond(403)

    async with bench(tmp_path, set_up=set_up) as lab:
        first, _ = await lab.ask({"n": 1})
        lab.relay.on_request = lambda _connection, _request: None
        second, _ = await lab.ask({"n": 2})
    assert (first.json, second.json) == ({"deployed": {"n": 1}}, {"echo": {"n": 2}})


async def test_a_missing_variable_is_an_init_error(tmp_path: Path) -> None:
    async with bench(tmp_path, NATLESS_APP="") as lab:
        async with asyncio.timeout(10):
            posted = await lab.api.init_error
        assert await lab.guest.end() == 1
    assert posted.json["errorType"] == "LiveBridge.ConfigInvalid"
    assert "NATLESS_APP" in posted.json["errorMessage"]


async def test_a_lost_runtime_api_ends_the_guest(tmp_path: Path) -> None:
    async with bench(tmp_path, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{_free_port()}") as lab:
        assert await lab.guest.end() == 1


@contextlib.asynccontextmanager
async def _tls_server(tmp_path: Path, reply: bytes) -> AsyncIterator[tuple[int, str]]:
    ca, context = make_certificate(tmp_path / "odd", "localhost")
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], str(ca)
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()
