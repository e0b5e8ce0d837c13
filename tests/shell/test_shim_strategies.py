"""The strategies beyond the first three, each with the real archive as a process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from event_protocol.frames import Publish, PublishError, WireError
from event_protocol.live import Message, MessageCode, decode_packet
from event_protocol.phases import Outcome, Phase, Strategy
from tests.shell.shim_peers import (
    WORKER,
    Bench,
    Say,
    ScriptedProxy,
    ScriptedRelay,
    Send,
    accept_publication,
    bench,
    failure_of,
    respond,
)

SQS = {"Records": [{"eventSource": "aws:sqs", "messageId": f"m-{n}", "body": "{}"} for n in (1, 2)]}
HTTP_V2 = {"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/"}}}
ALB = {"httpMethod": "GET", "requestContext": {"elb": {"targetGroupArn": "arn"}}}
DEPLOYED = "def handler(event, context): return {'deployed': event}"


def closed(relay: ScriptedRelay) -> None:
    """A relay that lets nobody in."""
    relay.on_request = respond(403)


def refusing(times: int, error_type: str = "InternalFailure") -> Any:
    """A relay that refuses so many publishes, INIT included."""

    def set_up(relay: ScriptedRelay) -> None:
        async def on_publish(send: Send, frame: Publish) -> bool:
            if len(relay.publishes) <= times:
                await send(PublishError(frame.id, (WireError(error_type, "no"),)))
                return False
            return await accept_publication(send, frame)

        relay.on_publish = on_publish

    return set_up


def with_fallbacks(tmp_path: Path, names: str, **options: Any) -> Any:
    pause: dict[str, Any] = {"NATLESS_BUDGET_PUBLISH_PAUSE": "0.01"}
    return bench(tmp_path, NATLESS_FALLBACKS=names, **({"set_up": closed} | pause | options))


# --- retry ----------------------------------------------------------------------------------------


async def test_retry_publishes_again_what_was_refused(tmp_path: Path) -> None:
    async with with_fallbacks(tmp_path, "retry", set_up=refusing(2)) as lab:
        posted, record = await lab.ask({"n": 1})
    assert (posted.json, record.strategy) == ({"echo": {"n": 1}}, Strategy.RETRY)
    refused = [s for s in record.spans if s.outcome is Outcome.DENIED]
    assert [s.detail["result"] for s in refused] == ["denied", "denied"]
    assert record.note.endswith(" s")
    assert "answered by retry" in record.note


async def test_retry_gives_up_after_its_attempts(tmp_path: Path) -> None:
    async with with_fallbacks(tmp_path, "retry", set_up=refusing(99)) as lab:
        posted, record = await lab.ask({})
        assert len(lab.relay.publishes) == 3
    assert (posted.kind, record.strategy) == ("error", Strategy.ERROR)
    assert "retry could not: try 3 ended publish denied" in record.note


async def test_retry_does_not_repeat_what_would_be_refused_again(tmp_path: Path) -> None:
    refuse = refusing(99, "UnauthorizedException")
    async with with_fallbacks(tmp_path, "retry", set_up=refuse) as lab:
        await lab.ask({})
        assert len(lab.relay.publishes) == 1


async def test_what_the_developer_took_at_a_retry_is_not_done_again(tmp_path: Path) -> None:
    options = {"set_up": refusing(1), "code": DEPLOYED}
    async with with_fallbacks(tmp_path, "retry,deployed", **options) as lab:

        async def take_and_close(_: Message, say: Say) -> None:
            await say(MessageCode.PING, b"{}\n")
            await lab.relay.connections[-1].close()

        lab.developer.on_next = take_and_close
        posted, record = await lab.ask({})
    assert record.strategy is Strategy.ERROR
    assert posted.json["errorType"] == "LiveBridge.HandleClosed"


# --- static, ok, partial, sst_text ----------------------------------------------------------------


async def test_static_is_what_was_configured(tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text('{"items":[]}')
    async with with_fallbacks(tmp_path, "static", NATLESS_STATIC=f"@{payload}") as lab:
        plain, record = await lab.ask({})
        request, _ = await lab.ask(ALB)
    assert (plain.body, record.strategy) == (b'{"items":[]}', Strategy.STATIC)
    assert request.json["statusCode"] == 200
    assert request.json["statusDescription"] == "200 OK"
    assert request.json["body"] == '{"items":[]}'


@pytest.mark.parametrize(
    ("event", "answer"), [(SQS, {"batchItemFailures": []}), ({"any": "thing"}, None)]
)
async def test_ok_keeps_the_event_before_it_says_so(
    tmp_path: Path, event: Any, answer: Any
) -> None:
    spool = tmp_path / "spool"
    async with with_fallbacks(tmp_path, "ok", NATLESS_SPOOL=str(spool)) as lab:
        question = lab.api.put(event)
        posted = await lab.api.answer(question)
        record = await lab.guest.record()
    assert (posted.kind, posted.json, record.strategy) == ("response", answer, Strategy.OK)
    (path,) = spool.iterdir()
    kept = json.loads(path.read_text())
    assert path.name == f"{question}.json"
    assert json.loads(kept["event"]) == event
    assert kept["requestId"] == question
    assert "HTTP 403" in kept["reason"]
    assert (path.stat().st_mode & 0o777, spool.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_ok_says_nothing_when_the_spool_is_full(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    options = {"NATLESS_SPOOL": str(spool), "NATLESS_SPOOL_BYTES": "10"}
    async with with_fallbacks(tmp_path, "ok,partial", **options) as lab:
        posted, record = await lab.ask(SQS)
    assert record.strategy is Strategy.PARTIAL
    assert "full" in record.note
    assert posted.json == {"batchItemFailures": [{"itemIdentifier": f"m-{n}"} for n in (1, 2)]}
    assert list(spool.iterdir()) == []


async def test_ok_leaves_a_request_to_the_next(tmp_path: Path) -> None:
    async with with_fallbacks(tmp_path, "ok,http", NATLESS_SPOOL=str(tmp_path / "s")) as lab:
        posted, record = await lab.ask(HTTP_V2)
    assert (posted.json["statusCode"], record.strategy) == (502, Strategy.HTTP)


async def test_ssts_sentence_comes_with_a_status_that_is_a_number(tmp_path: Path) -> None:
    async with with_fallbacks(tmp_path, "sst_text") as lab:
        request, record = await lab.ask(HTTP_V2)
        batch, other = await lab.ask(SQS)
    assert request.json["statusCode"] == 500
    assert request.json["body"] == f"sst dev is not running (worker: {WORKER})"
    assert request.json["headers"]["x-natless-error"] == "LiveBridge.UpgradeHttpError"
    assert record.strategy is Strategy.SST_TEXT
    assert (batch.kind, other.strategy) == ("error", Strategy.ERROR)


# --- observe --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "words"), [("event", "alike"), ("'other'", "otherwise")])
async def test_observe_answers_with_the_container_and_compares(
    tmp_path: Path, value: str, words: str
) -> None:
    code = f"def handler(event, context): return {{'echo': {value}}}"
    options = {"set_up": lambda _: None, "code": code, "NATLESS_BUDGET_OBSERVE_COPY": "10"}
    async with with_fallbacks(tmp_path, "http,observe", **options) as lab:
        posted, record = await lab.ask({"n": 1})
        assert len(lab.developer.events) == 1
    assert record.strategy is Strategy.OBSERVE
    assert posted.json["echo"] == ({"n": 1} if words == "alike" else "other")
    assert record.note.endswith(f"answers the copy {words}")
    assert {Phase.HANDLE, Phase.REPLY} <= {span.phase for span in record.spans}


async def test_an_observer_that_cannot_be_reached_changes_nothing(tmp_path: Path) -> None:
    async with with_fallbacks(tmp_path, "observe", code=DEPLOYED) as lab:
        for n in (1, 2):
            posted, record = await lab.ask({"n": n})
            assert posted.json == {"deployed": {"n": n}}
            assert "the copy failed: upgrade: HTTP 403" in record.note


async def test_an_observer_never_answers_in_place_of_the_container(tmp_path: Path) -> None:
    options = {"set_up": lambda _: None, "code": "import os\ndef handler(e, c): os._exit(1)"}
    async with with_fallbacks(tmp_path, "observe,http", **options) as lab:
        posted, record = await lab.ask({})
        assert len(lab.api.posted) == 1
    assert (posted.kind, record.strategy) == ("error", Strategy.ERROR)
    assert "observe could not" in record.note


# --- route ----------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_route_takes_another_host_and_keeps_it(tmp_path: Path) -> None:
    relay_port, dead_port = _free_port(), _free_port()
    options = {"host": f"127.0.0.1:{dead_port}", "NATLESS_ROUTES": f"localhost:{relay_port}"}
    async with with_fallbacks(
        tmp_path, "route", set_up=lambda _: None, port=relay_port, **options
    ) as lab:
        posted, record = await lab.ask({"n": 1})
        again, other = await lab.ask({"n": 2})
    assert (posted.json, record.strategy) == ({"echo": {"n": 1}}, Strategy.ROUTE)
    failure = failure_of(record)
    assert failure is not None
    assert (failure.phase, failure.outcome) == (Phase.CONNECT, Outcome.REFUSED)
    assert (again.json, other.strategy) == ({"echo": {"n": 2}}, Strategy.WORKER)
    assert not other.cold


async def test_the_channel_goes_through_a_proxy_that_resolves_the_name(tmp_path: Path) -> None:
    relay_port, name = _free_port(), "realtime.invalid"
    async with ScriptedProxy(relay_port).serving() as proxy:
        options = {
            "host": name,
            "HTTPS_PROXY": f"http://user:secret@127.0.0.1:{proxy.port}",
            "certificate_names": (name, "localhost"),
        }
        async with with_fallbacks(
            tmp_path, "error", set_up=lambda _: None, port=relay_port, **options
        ) as lab:
            posted, record = await lab.ask({"n": 1})
        assert (posted.json, record.strategy) == ({"echo": {"n": 1}}, Strategy.WORKER)
        assert proxy.heads[0].startswith(f"CONNECT {name}:443 HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in proxy.heads[0]
        assert "secret" not in "".join(lab.guest.lines)


async def test_a_publish_over_http_asks_the_proxy_for_a_tunnel_of_its_own(tmp_path: Path) -> None:
    relay_port, name = _free_port(), "realtime.invalid"
    async with ScriptedProxy(relay_port).serving() as proxy:
        options = {
            "host": name,
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
            "certificate_names": (name, "localhost"),
            "NATLESS_PROFILE": "sst",
        }
        async with with_fallbacks(
            tmp_path, "error", set_up=lambda _: None, port=relay_port, **options
        ) as lab:
            _, record = await lab.ask({"n": 1})
    socket_, publish, *_ = (head.split()[1] for head in proxy.heads)
    assert socket_ == f"{name}:443"
    assert publish.startswith("localhost:")
    # The scripted service speaks nothing but WebSocket: it was reached, and hung up.
    failure = failure_of(record)
    assert failure is not None
    assert (failure.phase, failure.detail["step"]) == (Phase.PUBLISH, "answer")


async def test_a_proxy_that_refuses_is_named(tmp_path: Path) -> None:
    async with ScriptedProxy(1).serving() as proxy:
        proxy.reply = "407 Proxy Authentication Required"
        options = {"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"}
        async with with_fallbacks(tmp_path, "error", **options) as lab:
            _, record = await lab.ask({})
    failure = failure_of(record)
    assert failure is not None
    assert (failure.phase, failure.outcome) == (Phase.CONNECT, Outcome.HTTP_ERROR)
    assert failure.detail["proxy"] == f"127.0.0.1:{proxy.port}"


async def test_route_goes_past_a_proxy_that_refuses(tmp_path: Path) -> None:
    async with ScriptedProxy(1).serving() as proxy:
        proxy.reply = "403 Forbidden"
        options = {"HTTPS_PROXY": f"127.0.0.1:{proxy.port}", "set_up": lambda _: None}
        async with with_fallbacks(tmp_path, "route", **options) as lab:
            posted, record = await lab.ask({"n": 1})
    assert (posted.json, record.strategy) == ({"echo": {"n": 1}}, Strategy.ROUTE)


# --- the circuit breaker and cancellation ---------------------------------------------------------


async def test_an_open_breaker_answers_at_once(tmp_path: Path) -> None:
    async with with_fallbacks(tmp_path, "http", NATLESS_BREAKER="2:600") as lab:
        for _ in range(2):
            await lab.ask(HTTP_V2)
        posted, record = await lab.ask(HTTP_V2)
        assert [span.phase for span in record.spans] == [Phase.REPLY]
    assert posted.json["statusCode"] == 502
    assert "2 failures in a row opened the circuit breaker" in record.note
    assert "HTTP 403" in record.note


def _cancels(lab: Bench) -> list[Any]:
    packets = [decode_packet(frame.events[0]) for frame in lab.relay.publishes]
    return [json.loads(p.data) for p in packets if p.type == MessageCode.CANCEL]


@pytest.mark.parametrize("features", [["cancel"], [], None])
async def test_who_knows_the_word_is_told_to_stop(tmp_path: Path, features: Any) -> None:
    async with with_fallbacks(tmp_path, "error", set_up=lambda _: None) as lab:

        async def take(_: Message, say: Say) -> None:
            if features is not None:
                body = json.dumps({"v": 1, "features": features}).encode()
                await say(MessageCode.HELLO, body)
            await say(MessageCode.PING, b"{}\n")

        lab.developer.on_next = take
        question = lab.api.put({}, timeout=0.9)
        await lab.api.answer(question)
        await lab.guest.record()
        lab.developer.on_next = lab.developer.answer
        await lab.ask({})  # what was published before it has arrived
        expected = [{"requestId": question, "reason": "handle timeout"}] if features else []
        assert _cancels(lab) == expected
