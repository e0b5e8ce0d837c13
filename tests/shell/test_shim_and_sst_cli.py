"""Our shim, answered by a developer's side that behaves as SST's command line does."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from natless.certificates import Authority, aws_names
from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from natless.relay_process import RelayReady, start_relay
from natless.shim_archive import shim_archive
from tests.shell.sst_cli import (
    BUFFER,
    ERROR,
    INIT,
    INIT_ERROR,
    NEXT,
    PING,
    REBOOT,
    RESPONSE,
    HandlerFailed,
    SstCli,
    read_next,
    sst_cli,
)
from tests.shell.worker_channel import Facts

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RelayReady]:
    directory = tmp_path_factory.mktemp("relay")
    authority = Authority.for_user(directory / "ca")
    served = authority.issue([*aws_names("us-east-1"), "localhost"], directory=directory)
    async with start_relay(
        certificate=served.certificate,
        key=served.key,
        ca=authority.ca_path,
        api_key="da2-0123456789abcdefghijklmnop",
        label="abcdefghijklmnopqrstuvwxyz",
        region="us-east-1",
        namespaces=["sst"],
        listening=[],
        journal=Journal(),
    ) as ready:
        yield ready


def function(
    relay: RelayReady, facts: Facts, *, concurrency: int = 1, timeout: float = 20.0
) -> LambdaHost:
    spec = FunctionSpec(
        "hello",
        "handler.handler",
        Path("/"),
        (sys.executable, "-I", str(shim_archive())),
        timeout=timeout,
        environment={
            "NATLESS_REALTIME": f"localhost:{relay.port}",
            "NATLESS_HTTP": relay.http_host,
            "NATLESS_API_KEY": relay.api_key,
            "NATLESS_CA": str(relay.ca),
            "NATLESS_APP": "app",
            "NATLESS_STAGE": "dev",
            "NATLESS_FUNCTION_ID": "fn",
            "NATLESS_FALLBACKS": "error",
            "TABLE": "a=b",
        },
    )
    return LambdaHost(spec, launcher=HostLauncher(), journal=facts.journal, concurrency=concurrency)


def echo(event: Any) -> Any:
    if event == "fail":
        raise HandlerFailed("on purpose")
    return {"echo": event}


def kinds(cli: SstCli, *, known: range = range(100)) -> list[int]:
    """What the guest said, but for what both sides would have had to agree on."""
    return [each.type for each in cli.heard if each.type in known]


async def test_a_cold_start_says_init_then_next_and_takes_ping_then_response(
    relay: RelayReady,
) -> None:
    facts = Facts()
    async with sst_cli(relay, fn=echo) as cli, function(relay, facts) as called:
        for number in range(3):
            result = await called.invoke(json.dumps(number).encode())
            assert json.loads(result.payload) == {"echo": number}
        (worker,) = called.worker_ids
        assert kinds(cli) == [INIT, NEXT, NEXT, NEXT]
        assert {each.source for each in cli.heard} == {worker}
        assert cli.said == [(PING, worker), (RESPONSE, worker)] * 3
        environment = cli.environments[worker]
        assert environment["TABLE"] == "a=b"
        assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "hello"
        assert "AWS_LAMBDA_LOG_STREAM_NAME" not in environment
        init = json.loads(cli.heard[0].body)
        assert init["functionID"] == "fn"


async def test_each_environment_has_a_channel_and_a_worker_of_its_own(relay: RelayReady) -> None:
    async with sst_cli(relay, fn=echo) as cli, function(relay, Facts(), concurrency=4) as called:
        results = await asyncio.gather(*(called.invoke(b"%d" % n) for n in range(4)))
        assert [json.loads(result.payload) for result in results] == [
            {"echo": number} for number in range(4)
        ]
        assert set(cli.workers) == set(called.worker_ids)
        assert len(cli.workers) == 4


async def test_an_error_keeps_its_type_and_its_trace(relay: RelayReady) -> None:
    async with sst_cli(relay, fn=echo) as cli, function(relay, Facts()) as called:
        result = await called.invoke(b'"fail"')
        assert result.function_error == "Unhandled"
        assert json.loads(result.payload) == {
            "errorType": "Error",
            "errorMessage": "on purpose",
            "trace": [],
        }
        assert [code for code, _ in cli.said] == [PING, ERROR]


@pytest.mark.parametrize("why", ["idle exit", "started anew"])
async def test_a_worker_that_is_gone_comes_back_by_reboot_and_init(
    relay: RelayReady, why: str
) -> None:
    async with sst_cli(relay, fn=echo) as cli, function(relay, Facts()) as called:
        await called.invoke(b"1")
        (worker,) = called.worker_ids
        cli.stop(worker) if why == "idle exit" else cli.forget()
        cli.heard.clear()
        cli.said.clear()
        assert json.loads((await called.invoke(b"2")).payload) == {"echo": 2}
        assert [code for code, _ in cli.said] == [PING, REBOOT, RESPONSE]
        assert kinds(cli) == [NEXT, INIT]


async def test_a_second_init_is_ignored_and_nothing_is_lost(relay: RelayReady) -> None:
    async with sst_cli(relay, fn=echo) as cli, function(relay, Facts()) as called:
        await called.invoke(b"1")
        (worker,) = called.worker_ids
        first = cli.workers[worker]
        await cli.publish(REBOOT, worker, b"{}\n")  # while it is idle
        assert json.loads((await called.invoke(b"2")).payload) == {"echo": 2}
        assert cli.workers[worker] is first


async def test_a_function_that_is_not_registered_is_never_answered(relay: RelayReady) -> None:
    facts = Facts()
    async with sst_cli(relay, other=echo) as cli, function(relay, facts, timeout=2.0) as called:
        result = await called.invoke(b"1")
        await called.settled()
        assert [code for code, _ in cli.said] == [PING, REBOOT]  # it says that, and no more
    assert result.function_error == "Unhandled"
    error = json.loads(result.payload)
    assert error["errorType"].startswith("LiveBridge.")  # ours, before Lambda's own timeout
    assert result.duration < 2.0


@pytest.mark.parametrize("size", [0, 2, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER])
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_answers_arrive_at_every_edge_of_a_packet(
    relay: RelayReady, size: int, streams: bool
) -> None:
    answer = b'"' + b"x" * (size - 2) + b'"' if size else b""
    async with sst_cli(relay, fn=lambda _: answer) as cli, function(relay, Facts()) as called:
        cli.streams = streams
        result = await called.invoke(b"1")
        assert (result.function_error, result.payload) == (None, answer)
        ends_empty = streams or size % BUFFER == 0
        assert (cli.last_packets[-1]["data"] == "") == ends_empty


async def test_large_events_are_cut_as_the_command_line_expects(relay: RelayReady) -> None:
    async with sst_cli(relay, fn=len) as cli, function(relay, Facts()) as called:
        await called.invoke(b'""')
        head = len(cli.heard[-1].body) - 3  # Content-Length has one digit here, six below
        for size in (BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER):
            length = size - head - 6
            event = b'"' + b"x" * (length - 2) + b'"'
            assert json.loads((await called.invoke(event)).payload) == length - 2
            message = cli.heard[-1]
            assert len(message.body) == size
            assert len(message.indexes) == size // BUFFER + 1  # an exact multiple ends empty


async def test_repeats_and_disorder_are_put_right(relay: RelayReady) -> None:
    async with sst_cli(relay, fn=echo) as cli, function(relay, Facts()) as called:
        await called.invoke(b"1")
        (worker,) = called.worker_ids
        first = cli.last_packets[-1]
        cli.workers[worker].cancel()  # the answers below are said by hand
        call = asyncio.create_task(called.invoke(b"2"))
        request_id, _ = read_next(await cli.queues[worker].get())
        answer = json.dumps("y" * (3 * BUFFER)).encode()
        zero, one, two, three = cli.packets(RESPONSE, answer, id_=request_id)
        for packet in (first, two, zero, zero, three, one, one, three):
            await cli.send(worker, packet)
        assert (await call).payload == answer


async def test_the_same_answer_twice_is_one_answer(relay: RelayReady) -> None:
    async with sst_cli(relay, fn=echo) as cli, function(relay, Facts()) as called:
        await called.invoke(b"1")
        (worker,) = called.worker_ids
        for packet in list(cli.last_packets) * 2:
            await cli.send(worker, packet)
        assert json.loads((await called.invoke(b"2")).payload) == {"echo": 2}


async def test_an_init_error_is_the_answer_of_the_call_that_waits(relay: RelayReady) -> None:
    async with sst_cli(relay, fn=echo) as cli, function(relay, Facts()) as called:
        await called.invoke(b"1")
        (worker,) = called.worker_ids
        cli.workers[worker].cancel()
        call = asyncio.create_task(called.invoke(b"2"))
        await cli.queues[worker].get()
        said = b'{"errorType":"Error","errorMessage":"Cannot find module","trace":[]}'
        await cli.publish(INIT_ERROR, worker, said)
        result = await call
    assert (result.function_error, result.payload) == ("Unhandled", said)
