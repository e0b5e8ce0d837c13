"""What a guest is told: one clear answer to each invocation, whatever the handler does."""

import asyncio
import json
from dataclasses import replace

import pytest

from event_protocol.live import MessageCode, encode_next, encode_packet, split
from natless.worker import WorkerBudgets
from tests.shell.lambda_scripts import Runtime, ScriptedLauncher, until
from tests.shell.worker_channel import Channel, Facts, Guest, worker_for

BUDGETS = WorkerBudgets(reconnect_first=0.001, reconnect_max=0.002)


async def echo(runtime: Runtime) -> None:
    while True:
        headers, body = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)


async def hang(runtime: Runtime) -> None:
    await runtime.next()
    await runtime.hang()


class Bench:
    """A worker on a channel, with a guest on the other end."""

    def __init__(self, channel: Channel, folder) -> None:
        self.channel = channel
        self.folder = folder
        self.facts = Facts()
        self.guest = Guest(channel)

    def worker(self, *scripts, **options):
        self.launcher = ScriptedLauncher(*scripts)
        options.setdefault("budgets", BUDGETS)
        return worker_for(self.channel, self.facts, self.folder, launcher=self.launcher, **options)


@pytest.fixture
async def bench(tmp_path):
    async with Channel().serve() as channel:
        yield Bench(channel, tmp_path)


def error(message) -> tuple[str, str]:
    body = json.loads(message.body)
    return body["errorType"], body["errorMessage"]


async def test_an_invocation_is_acknowledged_at_once_and_answered_once(bench):
    gate = asyncio.Event()

    async def gated(runtime: Runtime) -> None:
        headers, body = await runtime.next()
        await gate.wait()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)
        await runtime.hang()

    async with bench.worker(gated):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", {"n": 1})
        ping = await bench.guest.message()
        assert (ping.code, ping.source, ping.body) == (MessageCode.PING, "dev", b"{}\n")
        assert ping.id != "r-1"
        gate.set()
        answer = await bench.guest.message()
        assert (answer.code, answer.id, answer.body) == (MessageCode.RESPONSE, "r-1", b'{"n": 1}')
        await bench.facts.wait("worker.invocation.complete")
    assert bench.guest.unread == 0


async def test_the_handler_gets_the_headers_of_the_function_and_its_environment(bench):
    seen = {}

    async def look(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        seen.update({name.lower(): value for name, value in headers.items()})
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], b"1")
        await runtime.hang()

    async with bench.worker(look):
        await bench.guest.introduce(TABLE="a=b", AWS_LAMBDA_FUNCTION_NAME="orders")
        await bench.guest.invoke(
            "r-1",
            Lambda_Runtime_Invoked_Function_Arn="arn:x",
            Lambda_Runtime_Invocation_Id="nonce",
            Date="Thu, 01 Jan 1970 00:00:00 GMT",
            Server="theirs",
        )
        await bench.guest.answer()
    assert seen["lambda-runtime-invoked-function-arn"] == "arn:x"
    assert seen["lambda-runtime-invocation-id"] == "nonce"
    assert seen["server"] != "theirs"
    environment = bench.launcher.environments[0]
    assert environment["TABLE"] == "a=b"
    assert environment["NATLESS_LIVE"] == environment["SST_LIVE"] == "true"
    assert environment["_HANDLER"] == "handler.handler"
    assert environment["LAMBDA_TASK_ROOT"] == str(bench.folder)


async def test_an_event_that_the_function_received_in_chunks_is_put_together(bench):
    async with bench.worker(echo):
        await bench.guest.introduce()
        raw = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
            b"Lambda-Runtime-Aws-Request-Id: r-1\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
        )
        await bench.guest.send(MessageCode.NEXT, raw)
        assert (await bench.guest.answer()).body == b"[1,2]"


async def test_a_large_event_and_a_large_answer_travel_in_packets(bench):
    async with bench.worker(echo):
        await bench.guest.introduce()
        event = "x" * 1_000_000
        await bench.guest.invoke("r-1", event)
        answer = await bench.guest.answer()
    assert json.loads(answer.body) == event
    packets = [p for _, p in bench.channel.published if p.id == "r-1"]
    assert [packet.index for packet in packets] == list(range(8))
    assert packets[-1].final


async def test_an_answer_of_an_exact_multiple_of_a_packet_ends_with_an_empty_one(bench):
    async def exact(runtime: Runtime) -> None:
        await runtime.serve(answer=b"x" * 131_072)

    async with bench.worker(exact):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1")
        assert len((await bench.guest.answer()).body) == 131_072
    packets = [p for _, p in bench.channel.published if p.id == "r-1"]
    assert [(len(p.data), p.final) for p in packets] == [(131_072, False), (0, True)]


async def test_an_unknown_guest_is_asked_to_introduce_itself_and_then_answered(bench):
    async with bench.worker(echo):
        await bench.guest.invoke("r-1", 1)
        codes = {(await bench.guest.message()).code for _ in range(2)}
        assert codes == {MessageCode.PING, MessageCode.REBOOT}
        await bench.guest.introduce()
        answer = await bench.guest.answer()
        assert (answer.code, answer.body) == (MessageCode.RESPONSE, b"1")


async def test_a_guest_that_does_not_introduce_itself_is_told_so(bench):
    async with bench.worker(echo, budgets=replace(BUDGETS, boot=0.01)):
        await bench.guest.invoke("r-1", 1)
        assert (await bench.guest.answer()).code == MessageCode.REBOOT
        answer = await bench.guest.answer()
    assert (answer.code, answer.id) == (MessageCode.ERROR, "r-1")
    assert error(answer)[0] == "LiveWorker.NotIntroduced"


async def test_an_error_of_the_handler_is_an_error_with_its_own_words(bench):
    body = b'{"errorType":"ValueError","errorMessage":"boom"}'

    async def fail(runtime: Runtime) -> None:
        headers, _ = await runtime.next()
        await runtime.fail(headers["Lambda-Runtime-Aws-Request-Id"], body)
        await echo(runtime)

    async with bench.worker(fail):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1")
        answer = await bench.guest.answer()
        assert (answer.code, answer.id) == (MessageCode.ERROR, "r-1")
        assert answer.body == body
        failed = await bench.facts.wait("worker.invocation.failed")
        assert (failed.data["answered"], failed.data["message"]) == (True, "boom")
        assert failed.data["reason"] == "ValueError"  # and not the Runtime API's word for it
        await bench.guest.invoke("r-2", 2)
        assert (await bench.guest.answer()).body == b"2"
    assert len(bench.launcher.processes) == 1


async def test_a_handler_that_ends_its_process_gets_one_error_and_another_process(bench):
    async def end(runtime: Runtime) -> int:
        await runtime.next()
        runtime.print("last words")
        return 3

    async with bench.worker(end, echo):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1")
        answer = await bench.guest.answer()
        assert error(answer) == (
            "Runtime.ExitError",
            "RequestId: r-1 Error: Runtime exited with error: exit status 3",
        )
        await bench.guest.invoke("r-2", 2)
        assert (await bench.guest.answer()).body == b"2"
    [log] = bench.facts.of("worker.log")
    assert (log.data["line"], log.data["request_id"]) == ("last words", "r-1")


async def test_a_handler_that_ends_between_invocations_is_started_again(bench):
    leave = asyncio.Event()

    async def once(runtime: Runtime) -> None:
        headers, body = await runtime.next()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)
        waiting = asyncio.create_task(runtime.next())
        await leave.wait()
        waiting.cancel()

    async with bench.worker(once, echo):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", 1)
        await bench.guest.answer()
        leave.set()
        await bench.launcher.processes[0].wait()
        await bench.guest.invoke("r-2", 2)
        answer = await bench.guest.answer()
        assert (answer.code, answer.body) == (MessageCode.RESPONSE, b"2")


async def test_a_handler_that_never_returns_is_ended_when_the_functions_time_is_up(bench):
    async with bench.worker(hang, echo):
        await bench.guest.introduce()
        await bench.facts.wait("worker.process.complete")
        await bench.guest.invoke("r-1", seconds=0.05)
        answer = await bench.guest.answer()
        assert (answer.code, error(answer)[0]) == (MessageCode.ERROR, "Sandbox.Timedout")
        assert "did not return in time" in error(answer)[1]
        await bench.guest.invoke("r-2", 2)
        assert (await bench.guest.answer()).body == b"2"
    assert bench.launcher.processes[0].is_killed


async def test_another_invocation_means_that_the_function_gave_the_first_one_up(bench):
    async with bench.worker(hang, echo):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1")
        await bench.facts.wait("worker.invocation.started")
        await bench.guest.invoke("r-2", 2)
        answer = await bench.guest.answer()
        assert (answer.id, answer.body) == ("r-2", b"2")
        [failed] = bench.facts.of("worker.invocation.failed")
    assert (failed.data["request_id"], failed.data["answered"]) == ("r-1", False)
    assert failed.data["reason"] == "superseded"
    assert bench.launcher.processes[0].is_killed, "what it runs is of no use to anybody"


async def test_an_invocation_that_waits_for_its_process_can_be_given_up_too(bench):
    gate = asyncio.Event()

    async def slow(runtime: Runtime) -> None:
        await gate.wait()
        await echo(runtime)

    async with bench.worker(slow):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", 1)
        await bench.facts.wait("worker.invocation.received")
        await bench.guest.invoke("r-2", 2)
        await bench.facts.wait("worker.invocation.failed")
        gate.set()
        assert (await bench.guest.answer()).id == "r-2"
    assert len(bench.launcher.processes) == 1


async def test_a_repeated_invocation_is_acknowledged_but_not_run_again(bench):
    async with bench.worker(echo):
        await bench.guest.introduce()
        same = {"Lambda_Runtime_Invocation_Id": "one attempt"}
        await bench.guest.invoke("r-1", 1, **same)
        await bench.guest.answer()
        await bench.guest.invoke("r-1", 1, **same)
        assert (await bench.guest.message()).code == MessageCode.PING
        await bench.facts.wait("worker.invocation.repeated")
        await bench.guest.invoke("r-2", 2)
        assert (await bench.guest.answer()).id == "r-2"


async def test_guests_are_served_side_by_side_by_processes_of_their_own(bench):
    arrived = asyncio.Barrier(3)

    async def together(runtime: Runtime) -> None:
        headers, body = await runtime.next()
        await arrived.wait()
        await runtime.respond(headers["Lambda-Runtime-Aws-Request-Id"], body)
        await runtime.hang()

    guests = [Guest(bench.channel, f"{number:032x}") for number in range(3)]
    async with bench.worker(together):
        for number, guest in enumerate(guests):
            await guest.introduce()
            await guest.invoke(f"r-{number}", number)
        answers = [(await guest.answer()).body for guest in guests]
    assert answers == [b"0", b"1", b"2"]


async def test_code_that_cannot_be_loaded_is_told_to_the_waiting_invocation(bench):
    async def broken(runtime: Runtime) -> int:
        said = b'{"errorType":"Runtime.UserCodeSyntaxError","errorMessage":"line 3"}'
        await runtime.fail_init(said, "Runtime.UserCodeSyntaxError")
        return 1

    gate = asyncio.Event()

    async def broken_late(runtime: Runtime) -> int:
        await gate.wait()
        return await broken(runtime)

    async with bench.worker(broken_late, broken):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1")
        await bench.facts.wait("worker.invocation.received")
        gate.set()
        answer = await bench.guest.answer()
        assert answer.code == MessageCode.INIT_ERROR
        assert error(answer) == ("Runtime.UserCodeSyntaxError", "line 3")

        # the next one is held until there is somebody to tell, and then is no init error:
        # that would be taken for whatever invocation the function is at
        await bench.facts.wait("worker.process.failed", count=2)
        await bench.guest.invoke("r-2")
        answer = await bench.guest.answer()
        assert (answer.code, answer.id) == (MessageCode.ERROR, "r-2")
        assert error(answer) == ("Runtime.UserCodeSyntaxError", "line 3")


async def test_no_init_error_is_sent_while_nobody_waits(bench):
    async def end(_: Runtime) -> int:
        return 1

    async with bench.worker(end):
        await bench.guest.introduce()
        await bench.facts.wait("worker.process.failed")
        await bench.guest.invoke("r-1")
        assert (await bench.guest.answer()).code == MessageCode.ERROR
    assert MessageCode.INIT_ERROR not in {packet.type for _, packet in bench.channel.published}


async def test_code_that_can_be_loaded_at_last_serves_again(bench):
    async def end(_: Runtime) -> int:
        return 1

    async with bench.worker(end, echo):
        await bench.guest.introduce()
        await bench.facts.wait("worker.process.failed")
        await bench.guest.invoke("r-1")
        assert error(await bench.guest.answer())[0] == "Runtime.ExitError"
        await bench.guest.invoke("r-2", 2)
        assert (await bench.guest.answer()).body == b"2"


async def test_an_interpreter_that_is_not_there_is_named(bench):
    bench.launcher = None
    worker = worker_for(
        bench.channel, bench.facts, bench.folder, python="/no/such/python", budgets=BUDGETS
    )
    async with worker:
        await bench.guest.introduce()
        await bench.facts.wait("worker.process.failed")
        await bench.guest.invoke("r-1")
        kind, said = error(await bench.guest.answer())
    assert kind == "Runtime.InvalidEntrypoint"
    assert "/no/such/python" in said


async def test_the_same_introduction_again_changes_nothing_and_another_one_starts_anew(bench):
    async with bench.worker(echo):
        await bench.guest.introduce(AWS_SESSION_TOKEN="first")
        await bench.facts.wait("worker.process.complete")
        await bench.guest.introduce(AWS_SESSION_TOKEN="first")
        await bench.guest.invoke("r-1", 1)
        await bench.guest.answer()
        assert len(bench.launcher.processes) == 1
        await bench.guest.introduce(AWS_SESSION_TOKEN="second")
        await bench.facts.wait("worker.process.complete", count=2)
        await bench.guest.invoke("r-2", 2)
        await bench.guest.answer()
    tokens = [each["AWS_SESSION_TOKEN"] for each in bench.launcher.environments]
    assert tokens == ["first", "second"]


async def test_what_the_worker_itself_or_another_developer_sends_is_not_run(bench):
    async with bench.worker(echo):
        mirror = Guest(bench.channel, "dev")
        await mirror.introduce()
        await mirror.invoke("r-1")
        await bench.guest.introduce()
        await bench.guest.invoke("r-2")
        await bench.guest.answer()
    assert [fact.data["request_id"] for fact in bench.facts.of("worker.invocation.received")] == [
        "r-2"
    ]


@pytest.mark.parametrize(
    "event",
    [
        "no packet",
        '{"type":2}',
        '{"type":2,"source":"s","id":"x","index":0,"data":"?","final":true}',
    ],
)
async def test_events_that_make_no_sense_are_counted_and_dropped(bench, event):
    async with bench.worker(echo):
        await bench.channel.push(event)
        await bench.facts.wait("worker.event.refused")
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", 1)
        assert (await bench.guest.answer()).body == b"1"


@pytest.mark.parametrize("name", ["a/b", "s" * 60, "ü"])
async def test_a_guest_that_could_not_be_answered_is_not_listened_to(bench, name):
    async with bench.worker(echo):
        await Guest(bench.channel, name).invoke("r-0")
        refused = await bench.facts.wait("worker.event.refused")
        assert "segment" in refused.data["reason"]
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", 1)
        assert (await bench.guest.answer()).body == b"1"
    assert len(bench.facts.of("worker.invocation.received")) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"no response",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a/b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r\r\nX: \xff\r\n\r\n",
    ],
)
async def test_invocations_that_make_no_sense_are_counted_and_dropped(bench, body):
    async with bench.worker(echo):
        await bench.guest.introduce()
        await bench.guest.send(MessageCode.NEXT, body)
        await bench.facts.wait("worker.event.refused")
        await bench.guest.invoke("r-1", 1)
        assert (await bench.guest.answer()).body == b"1"


async def test_messages_of_other_kinds_are_ignored(bench):
    async with bench.worker(echo):
        await bench.guest.introduce()
        for code in (MessageCode.TASK_START, MessageCode.PING, MessageCode.REPORT):
            await bench.guest.send(code, b"{}")
        await bench.guest.invoke("r-1", 1)
        assert (await bench.guest.answer()).body == b"1"


async def test_the_guest_that_was_silent_longest_is_forgotten_and_asked_again(bench):
    first, second = Guest(bench.channel, "1" * 32), Guest(bench.channel, "2" * 32)
    async with bench.worker(echo, max_environments=1):
        for guest in (first, second):
            await guest.introduce()
            await guest.invoke(f"r-{guest.worker_id[0]}", 1)
            await guest.answer()
        await bench.launcher.processes[0].wait()
        await first.invoke("r-3", 3)
        assert (await first.answer()).code == MessageCode.REBOOT
        await first.introduce()
        assert (await first.answer()).body == b"3"


async def test_a_process_without_work_is_ended_and_started_when_there_is_some(bench):
    async with bench.worker(echo, budgets=replace(BUDGETS, idle=0.01)):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", 1)
        await bench.guest.answer()
        await bench.launcher.processes[0].wait()
        assert bench.launcher.processes[0].is_killed
        await bench.guest.invoke("r-2", 2)
        answer = await bench.guest.answer()
        assert (answer.code, answer.body) == (MessageCode.RESPONSE, b"2"), "and no reboot"


async def test_the_facts_of_an_invocation_are_in_the_order_of_what_happened(bench):
    async with bench.worker(echo):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1", 1)
        await bench.facts.wait("worker.invocation.complete")
    kinds = ["received", "started", "complete"]
    facts = [bench.facts.of(f"worker.invocation.{kind}")[0] for kind in kinds]
    assert [fact.at for fact in facts] == sorted(fact.at for fact in facts)
    assert {fact.data["worker_id"] for fact in facts} == {bench.guest.worker_id}
    done = facts[-1].data
    assert done["received"] <= done["started"] <= done["handled"] <= facts[-1].at
    assert done["bytes"] == 1


async def test_secrets_of_the_function_do_not_reach_the_journal(bench):
    async def leak(runtime: Runtime) -> None:
        runtime.print("token " + runtime.environment["AWS_SESSION_TOKEN"])
        await echo(runtime)

    async with bench.worker(leak):
        await bench.guest.introduce(AWS_SESSION_TOKEN="a-very-secret-token")
        await bench.facts.wait("worker.log")
    assert "a-very-secret-token" not in "".join(fact.to_json() for fact in bench.facts)
    assert bench.facts.of("worker.log")[0].data["line"] == "token ***"


async def test_leaving_in_the_middle_of_an_invocation_ends_its_process(bench):
    async with bench.worker(hang):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1")
        await bench.facts.wait("worker.invocation.started")
    assert bench.launcher.processes[0].is_killed
    [failed] = bench.facts.of("worker.invocation.failed")
    assert (failed.data["request_id"], failed.data["reason"]) == ("r-1", "stopped")


async def test_a_guest_that_is_forgotten_while_it_waits_is_reported_lost(bench):
    other = Guest(bench.channel, "f" * 32)
    async with bench.worker(hang, echo, max_environments=1):
        await bench.guest.introduce()
        await bench.guest.invoke("r-1")
        await bench.facts.wait("worker.invocation.started")
        await other.introduce()
        await other.invoke("r-2", 2)
        assert (await other.answer()).body == b"2"
        failed = await bench.facts.wait("worker.invocation.failed")
    assert (failed.data["request_id"], failed.data["reason"]) == ("r-1", "forgotten")
    assert len(bench.launcher.processes) == 2, "nothing is started for it any more"


async def test_leaving_while_a_process_starts_ends_it(bench):
    async def never_ready(runtime: Runtime) -> None:
        await runtime.hang()

    async with bench.worker(never_ready):
        await bench.guest.introduce()
        await bench.facts.wait("worker.process.started")
    await until(lambda: bench.launcher.processes[0].is_killed)


async def test_packets_of_one_message_may_arrive_in_any_order(bench):
    async with bench.worker(echo):
        await bench.guest.introduce()
        body = encode_next({"Lambda-Runtime-Aws-Request-Id": "r-1"}, json.dumps("x" * 50).encode())
        packets = list(split(2, source=bench.guest.worker_id, id="m", body=body, chunk=10))
        for packet in reversed([*packets, packets[1]]):
            await bench.channel.push(encode_packet(packet))
        assert (await bench.guest.answer()).body == json.dumps("x" * 50).encode()
