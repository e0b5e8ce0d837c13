"""The guest over a channel that works: the real archive against a scripted relay on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from event_protocol.codec import encode
from event_protocol.frames import Frame, Publish, PublishError, PublishSuccess, WireError
from event_protocol.live import FEATURES, Message, MessageCode, decode_next
from event_protocol.phases import Outcome, Phase, Strategy
from tests.shell.shim_peers import (
    API_KEY,
    WORKER,
    Bench,
    Say,
    ScriptedRelay,
    Send,
    accept_publication,
    bench,
    failure_of,
    make_certificate,
    request_id,
)

COLD = [
    Phase.RESOLVE,
    Phase.CONNECT,
    Phase.TLS,
    Phase.UPGRADE,
    Phase.INIT,
    Phase.SUBSCRIBE,
    Phase.PROBE,
]
WARM = [Phase.PUBLISH, Phase.DELIVER, Phase.HANDLE, Phase.REPLY]


async def test_the_developers_answer_reaches_the_caller(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        posted, record = await lab.ask({"n": 1})
    assert (posted.kind, posted.json) == ("response", {"echo": {"n": 1}})
    assert (record.strategy, record.cold, record.worker_id) == (Strategy.WORKER, True, WORKER)
    assert [span.phase for span in record.spans] == [*COLD, Phase.PUBLISH, *WARM]
    assert all(span.outcome is Outcome.OK for span in record.spans)
    assert record.note == ""


async def test_spans_follow_each_other_and_name_their_budgets(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        _, record = await lab.ask({})
    starts = [span.started for span in record.spans]
    assert starts == sorted(starts)
    assert record.started <= starts[0]
    assert record.spans[-1].finished <= record.finished
    budgets = {span.phase: (span.budget, span.budget_seconds) for span in record.spans}
    assert budgets[Phase.CONNECT] == ("connect.tcp", 3.0)
    assert budgets[Phase.SUBSCRIBE] == ("subscribe.ack", 3.0)
    assert budgets[Phase.PUBLISH] == ("publish.answer", 5.0)
    resolve, connect = record.spans[:2]
    assert resolve.detail["host"] == "localhost"
    assert connect.detail["address"] == "127.0.0.1"
    assert connect.detail["port"] == lab.relay.port


async def test_a_warm_channel_is_used_again_and_init_is_sent_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({"n": 1})
        posted, record = await lab.ask({"n": 2})
        assert posted.json == {"echo": {"n": 2}}
        assert not record.cold
        assert [span.phase for span in record.spans] == WARM
        assert len(lab.relay.connections) == 1
        assert len(lab.developer.inits) == 1


async def test_a_channel_past_its_age_is_opened_anew(tmp_path: Path) -> None:
    async with bench(tmp_path, NATLESS_BUDGET_WARM_MAX_AGE="0.0") as lab:
        await lab.ask({})
        _, record = await lab.ask({})
        assert record.cold
        assert [span.phase for span in record.spans] == [*COLD, *WARM]
        assert len(lab.relay.connections) == 2


async def test_credentials_ride_in_the_subprotocol_with_the_http_host(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({})
        assert lab.relay.offers == [
            {
                "host": "abcdefghijklmnopqrstuvwxyz.appsync-api.us-east-1.amazonaws.com",
                "x-api-key": API_KEY,
            }
        ]
        assert lab.relay.subscribed[0].authorization == {"x-api-key": API_KEY}
        assert {frame.channel for frame in lab.relay.publishes} == {"/sst/app/dev/in"}
        assert lab.relay.publishes[0].authorization == {"x-api-key": API_KEY}


async def test_init_carries_the_functions_environment_and_none_of_the_guests_own(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, TABLE="orders=eu") as lab:
        await lab.ask({})
        (init,) = lab.developer.inits
    assert init.function_id == "fn"
    assert init.features == FEATURES
    assert init.environment["TABLE"] == "orders=eu"
    assert init.environment["AWS_SESSION_TOKEN"] == "role-token"
    assert not {name for name in init.environment if name.startswith("NATLESS_")}
    assert not {"_HANDLER", "PATH", "AWS_LAMBDA_RUNTIME_API"} & set(init.environment)


async def test_the_key_is_in_no_line_of_the_log(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({})
        lab.relay.developer = None
        await lab.ask({}, timeout=1.0)
        assert API_KEY not in "\n".join(lab.guest.lines)


async def test_the_runtime_apis_headers_reach_the_developer_unchanged(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        context = json.dumps({"custom": {"wörd": "ö"}}, ensure_ascii=False)
        await lab.ask({}, Lambda_Runtime_Client_Context=context, Lambda_Runtime_Trace_Id="Root=1")
        (event,) = lab.developer.events
    assert json.loads(event.headers["lambda-runtime-client-context"]) == json.loads(context)
    assert event.headers["lambda-runtime-trace-id"] == "Root=1"
    assert "lambda-runtime-deadline-ms" in event.headers


async def test_300_kb_travel_in_chunks_both_ways(tmp_path: Path) -> None:
    blob = "x" * 300_000
    async with bench(tmp_path) as lab:
        posted, record = await lab.ask({"blob": blob})
    assert posted.json == {"echo": {"blob": blob}}
    publish = [span for span in record.spans if span.phase is Phase.PUBLISH][-1]
    assert publish.detail["chunks"] == 3
    assert publish.detail["bytes"] > 300_000


async def test_the_developers_error_is_posted_as_an_error(tmp_path: Path) -> None:
    body = json.dumps({"errorType": "ValueError", "errorMessage": "no", "trace": []}).encode()

    async def fail(message: Message, say: Say) -> None:
        await say(MessageCode.PING, b"{}\n")
        await say(MessageCode.ERROR, body, request_id(decode_next(message.body)))

    async with bench(tmp_path) as lab:
        lab.developer.on_next = fail
        posted, record = await lab.ask({})
    assert (posted.kind, posted.body) == ("error", body)
    assert posted.headers["Lambda-Runtime-Function-Error-Type"] == "ValueError"
    assert record.strategy is Strategy.WORKER


async def test_an_init_error_fails_the_invocation_that_waits(tmp_path: Path) -> None:
    body = json.dumps({"errorType": "ImportError", "errorMessage": "no module"}).encode()

    async def fail(_: Message, say: Say) -> None:
        await say(MessageCode.INIT_ERROR, body)

    async with bench(tmp_path) as lab:
        lab.developer.on_next = fail
        posted, _ = await lab.ask({})
        assert (posted.kind, posted.body) == ("error", body)
        lab.developer.on_next = lab.developer.answer
        posted, _ = await lab.ask({"n": 2})
        assert posted.json == {"echo": {"n": 2}}


async def test_a_reboot_is_answered_with_init_while_the_event_waits(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({"n": 1})
        waiting: list[Message] = []

        async def reboot(message: Message, say: Say) -> None:
            waiting.append(message)
            await say(MessageCode.PING, b"{}\n")
            await say(MessageCode.REBOOT, b"{}\n")

        lab.developer.on_next = reboot
        question = lab.api.put({"n": 2})
        async with asyncio.timeout(10):
            while len(lab.developer.inits) < 2:  # noqa: ASYNC110  the guest's doing, seen by poll
                await asyncio.sleep(0.01)
        say = lab.relay.say(_sender(lab))
        await lab.developer.answer(waiting[0], say)
        assert (await lab.api.answer(question)).json == {"echo": {"n": 2}}


async def test_a_reboot_between_invocations_is_remembered(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({"n": 1})
        await lab.relay.say(_sender(lab))(MessageCode.REBOOT, b"{}\n")
        await _round_trip(lab)
        posted, _ = await lab.ask({"n": 2})
        assert posted.json == {"echo": {"n": 2}}
        assert len(lab.developer.inits) == 2


async def test_repeated_and_late_answers_are_dropped(tmp_path: Path) -> None:
    async def twice(message: Message, say: Say) -> None:
        name = request_id(decode_next(message.body))
        await say(MessageCode.RESPONSE, b'"first"', name)
        await say(MessageCode.RESPONSE, b'"second"', name)
        await say(MessageCode.ERROR, b'"third"', name)

    async with bench(tmp_path) as lab:
        lab.developer.on_next = twice
        first, _ = await lab.ask({})
        await _round_trip(lab)
        second, _ = await lab.ask({})
        assert (first.json, second.json) == ("first", "first")
        assert len(lab.api.posted) == 2


async def test_an_answer_to_another_request_is_dropped(tmp_path: Path) -> None:
    async def wrong_then_right(message: Message, say: Say) -> None:
        await say(MessageCode.RESPONSE, b'"somebody else\'s"', "another-request")
        await say(MessageCode.PING, b"{}\n")
        await say(MessageCode.RESPONSE, b'"mine"', request_id(decode_next(message.body)))

    async with bench(tmp_path) as lab:
        lab.developer.on_next = wrong_then_right
        posted, _ = await lab.ask({})
    assert posted.json == "mine"


async def test_an_answer_before_the_publish_is_confirmed_counts(tmp_path: Path) -> None:
    def answer_first(relay: ScriptedRelay) -> None:
        async def publish(send: Send, frame: Publish) -> bool:
            assert relay.developer is not None
            for event in frame.events:
                await relay.developer.take(event, relay.say(send))
            await send(PublishSuccess(frame.id, ()))
            return False

        relay.on_publish = publish

    async with bench(tmp_path, set_up=answer_first) as lab:
        posted, record = await lab.ask({"n": 1})
    assert posted.json == {"echo": {"n": 1}}
    assert failure_of(record) is None


async def test_frames_that_break_the_protocol_are_ignored(tmp_path: Path) -> None:
    async def babble(message: Message, say: Say) -> None:
        connection = lab.relay.connections[-1]
        for text in ("", "[1]", '{"type":"data"}', '{"type":"new-in-2027"}'):
            await connection.send(text)
        await connection.send(b"binary")
        await say.deliver('"not a packet"')
        await lab.developer.answer(message, say)

    async with bench(tmp_path) as lab:
        lab.developer.on_next = babble
        posted, _ = await lab.ask({"n": 1})
    assert posted.json == {"echo": {"n": 1}}


async def test_a_rate_limit_is_met_with_a_pause_and_another_try(tmp_path: Path) -> None:
    refusals = [1, 2]

    def limit(relay: ScriptedRelay) -> None:
        async def publish(send: Send, frame: Publish) -> bool:
            if refusals:
                refusals.pop()
                error = WireError("LimitExceededError", "Rate limit exceeded")
                await send(PublishError(frame.id, (error,)))
                return False
            return await accept_publication(send, frame)

        relay.on_publish = publish

    async with bench(tmp_path, set_up=limit, NATLESS_BUDGET_PUBLISH_PAUSE="0.01") as lab:
        posted, record = await lab.ask({"n": 1})
    assert posted.json == {"echo": {"n": 1}}
    assert record.spans[7].detail["attempt"] == 3


async def test_a_channel_closed_while_idle_is_opened_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({"n": 1})
        await lab.relay.connections[0].close()
        posted, record = await lab.ask({"n": 2})
        assert posted.json == {"echo": {"n": 2}}
        assert record.cold
        assert failure_of(record) is None
        assert len(lab.developer.inits) == 1, "the developer's side still knows the environment"


async def test_a_channel_that_dies_at_the_publish_is_opened_once_more(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({"n": 1})

        async def die(_: Send, __: Publish) -> bool:
            lab.relay.connections[0].transport.abort()
            lab.relay.on_publish = accept_publication
            return False

        lab.relay.on_publish = die
        posted, record = await lab.ask({"n": 2})
        assert posted.json == {"echo": {"n": 2}}
        assert record.strategy is Strategy.WORKER
        lost = record.spans[0]
        assert (lost.phase, lost.outcome) in {
            (Phase.PUBLISH, Outcome.CLOSED),
            (Phase.PUBLISH, Outcome.RESET),
        }
        assert [span.phase for span in record.spans[1:]] == [*COLD, *WARM]


async def test_a_new_channel_that_dies_at_the_publish_is_not_opened_again(tmp_path: Path) -> None:
    def die(relay: ScriptedRelay) -> None:
        async def publish(_: Send, __: Publish) -> bool:
            relay.connections[-1].transport.abort()
            return False

        relay.on_publish = publish

    async with bench(tmp_path, set_up=die) as lab:
        posted, record = await lab.ask({"n": 1})
        assert posted.json == {"deployed": {"n": 1}}
        failure = failure_of(record)
        assert failure is not None
        assert failure.phase is Phase.PUBLISH
        assert len(lab.relay.connections) == 1


async def test_the_nonce_of_an_invocation_is_echoed(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        posted, _ = await lab.ask({}, Lambda_Runtime_Invocation_Id="nonce-7")
    assert posted.headers["Lambda-Runtime-Invocation-Id"] == "nonce-7"


async def test_an_answer_that_is_too_large_is_recorded_and_life_goes_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        lab.api.status = 413
        _, record = await lab.ask({})
        assert record.spans[-1].outcome is Outcome.HTTP_ERROR
        assert record.spans[-1].detail["status"] == 413
        lab.api.status = 202
        posted, _ = await lab.ask({"n": 2})
        assert posted.json == {"echo": {"n": 2}}


async def test_sigterm_ends_it_cleanly_while_it_waits_and_while_it_works(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        await lab.ask({})
        lab.guest.process.send_signal(signal.SIGTERM)
        assert await lab.guest.end() == 0
        await lab.relay.connections[0].wait_closed()
        assert lab.relay.connections[0].close_code == 1000
    async with bench(tmp_path) as lab:
        taken = asyncio.Event()

        async def take(_: Message, __: Say) -> None:
            taken.set()

        lab.developer.on_next = take
        lab.api.put({})
        async with asyncio.timeout(10):
            await taken.wait()
        lab.guest.process.send_signal(signal.SIGTERM)
        assert await lab.guest.end() == 0
        assert lab.api.posted == []


async def test_hostile_modules_of_the_function_do_not_reach_the_guest(tmp_path: Path) -> None:
    hostile = "raise SystemExit('hijacked by ' + __name__)\n"
    task_root = tmp_path / "task"
    task_root.mkdir()
    names = ("json", "event_protocol", "websockets", "asyncio", "ssl", "runtime_shim", "zipimport")
    for name in names:
        (task_root / f"{name}.py").write_text(hostile)
    async with bench(tmp_path, PYTHONPATH=os.fspath(task_root)) as lab:
        posted, _ = await lab.ask({"n": 1})
        assert posted.json == {"echo": {"n": 1}}
        assert not [line for line in lab.guest.lines if "hijacked" in line]


async def test_an_authority_of_its_own_is_the_only_one_trusted(tmp_path: Path) -> None:
    other, _ = make_certificate(tmp_path / "other", "localhost")
    async with bench(tmp_path, NATLESS_CA=os.fspath(other)) as lab:
        _, record = await lab.ask({})
    failure = failure_of(record)
    assert failure is not None
    assert failure.outcome is Outcome.TLS_ERROR


def _sender(lab: Bench) -> Send:
    connection = lab.relay.connections[-1]

    async def send(frame: Frame) -> None:
        await connection.send(encode(frame))

    return send


async def _round_trip(lab: Bench) -> None:
    """Until the guest has read everything that was sent to it before."""
    pong = await lab.relay.connections[-1].ping()
    async with asyncio.timeout(10):
        await pong
