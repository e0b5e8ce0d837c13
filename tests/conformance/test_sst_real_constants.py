"""The unmodified bridge on broken networks with Lambda's and SST's real limits: minutes of waiting.

Not in the default run: ``pytest -m nightly -s tests/conformance/test_sst_real_constants.py`` takes
about ten minutes and prints the figures that docs/reference/sst.md shows.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from natless.lambda_host.host import InvokeResult
from natless.vpc.netns import VpcProcess
from natless.vpc.topologies import find
from natless.worker import Worker
from tests.conformance import stubborn_service
from tests.conformance.bridge_lambda import (
    bridge_binary,
    bridge_function,
    log_of,
    natless_worker,
    sst_environment,
)
from tests.conformance.field import Field, open_field
from tests.conformance.sst_picture import CONNECTING, EXITED, HTTP_PORT, ROWS, Row, check, meet
from tests.shell.worker_channel import Facts

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

INIT, TIMEOUT = 10.0, 20.0  # seconds: Lambda's init phase, and what SST gives a function
FIRST_WORD = 16.0  # seconds that the bridge waits for the developer's first message
SUBSCRIBE = 3.0
DIAL = 30.0  # Go's, for a publish
HANDSHAKE = 150.0  # seconds that it is watched; it was seen to wait for 200
CONNECT = (120.0, 140.0)  # Linux gives a connect up after six repeats of its SYN: 127 s and some
NOT_RUNNING = "sst dev is not running"


@asynccontextmanager
async def on(
    directory: Path, *, topology: str = "nat", options: tuple[str, ...] = ()
) -> AsyncIterator[Field]:
    bridge_binary()
    (directory / "code").mkdir()
    (directory / "code" / "handler.py").write_text("def handler(event, context): return event\n")
    async with open_field(directory, golden=None, options=options, ports=[HTTP_PORT]) as field:
        await field.vpc.apply(find(topology))
        yield field


def developer(field: Field) -> Worker:
    return natless_worker(field, Facts(), field.directory / "code")


def tell(name: str, result: InvokeResult) -> None:
    said = result.function_error or "success"
    print(f"\n{name}: {result.duration:.1f} s, {said} {result.payload.decode()[:160]}")


def is_not_running(result: InvokeResult) -> bool:
    """Whether the caller got SST's text, which is a success with a status that is no number."""
    answer = json.loads(result.payload)
    return (
        result.function_error is None
        and answer["statusCode"] == "500"
        and answer["body"].startswith(NOT_RUNNING)
    )


def with_real_constants(row: Row) -> Row:
    """What is different when there is time for the bridge's own limits."""
    if row.name == "2 name, no resolver":  # Go asks twice, for 5 s each: just too long for init
        return replace(row, last=(CONNECTING, "i/o timeout"), again="error", error=EXITED)
    return row


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_each_phase_takes_as_long_as_it_does_on_aws(tmp_path: Path, row: Row) -> None:
    async with on(tmp_path) as field, developer(field):
        facts = Facts()
        result = await meet(field, row, facts, init=INIT, timeout=TIMEOUT)
        tell(row.name, result)
        print(log_of(facts)[:3000])
        check(with_real_constants(row), result, facts, init=INIT, timeout=TIMEOUT)


async def test_a_publish_that_meets_silence_is_repeated_every_30_s(tmp_path: Path) -> None:
    (row,) = [row for row in ROWS if row.name == "7 publish next, HTTP host falls silent"]
    async with on(tmp_path) as field, developer(field):
        facts = Facts()
        result = await meet(field, row, facts, init=INIT, timeout=2 * DIAL + 5)
        tell("7 with 65 s", result)
    assert log_of(facts).count("i/o timeout") == 2


async def test_nobody_listens_for_16_s(tmp_path: Path) -> None:
    async with on(tmp_path) as field, bridge_function(field, Facts()) as function:
        result = await function.invoke(b'"x"')
    tell("8 nobody", result)
    assert is_not_running(result)
    assert FIRST_WORD < result.duration < FIRST_WORD + 2


async def test_a_deaf_bridge_says_that_sst_dev_does_not_run_although_it_does(
    tmp_path: Path,
) -> None:
    async with (
        on(tmp_path) as field,
        developer(field),
        stubborn_service.realtime(field, stubborn_service.never_subscribes) as port,
        bridge_function(
            field, Facts(), SST_APPSYNC_REALTIME=f"{field.vpc.api.realtime_host}:{port}"
        ) as function,
    ):
        result = await function.invoke(b'"x"')
    tell("5 subscribe", result)
    assert is_not_running(result)
    assert SUBSCRIBE + FIRST_WORD < result.duration < SUBSCRIBE + FIRST_WORD + 2


async def test_a_late_subscription_costs_the_first_call_and_no_other(tmp_path: Path) -> None:
    async with (
        on(tmp_path, options=("--subscription-lag", "2")) as field,
        developer(field),
        bridge_function(field, Facts()) as function,
    ):
        await field.delivers_to(1)
        first = await function.invoke(b'"x"')
        tell("8 late subscription, first call", first)
        assert is_not_running(first)
        second = await function.invoke(b'"x"')
        tell("8 late subscription, second call", second)
        assert second.payload == b'"x"'


async def test_sixty_five_idle_seconds_change_nothing(tmp_path: Path) -> None:
    facts = Facts()
    async with on(tmp_path) as field, developer(field), bridge_function(field, facts) as function:
        assert (await function.invoke(b'"x"')).payload == b'"x"'
        await asyncio.sleep(65)
        result = await function.invoke(b'"x"')
        tell("idle for 65 s", result)
        assert result.payload == b'"x"'
        await function.settled()
    assert log_of(facts).count("type=ka") >= 2
    assert log_of(facts).count("INFO connecting") == 1


async def test_the_bridge_itself_gives_a_silent_connect_up_after_two_minutes(
    tmp_path: Path,
) -> None:
    async with on(tmp_path, topology="no-nat") as field:
        started = time.monotonic()
        async with running(field) as (bridge, saying), asyncio.timeout(CONNECT[1]):
            assert await bridge.wait() == 0
            waited = time.monotonic() - started
            out = b"".join(await saying).decode()
    print(f"\n3 TCP, the bridge alone: gave up after {waited:.1f} s, exit 0")
    assert waited > CONNECT[0]
    assert "connection timed out" in out


async def test_the_bridge_itself_never_gives_a_silent_handshake_up(tmp_path: Path) -> None:
    async with on(tmp_path) as field, stubborn_service.silent_tcp(field) as port:
        host = f"{field.vpc.api.realtime_host}:{port}"
        async with running(field, SST_APPSYNC_REALTIME=host) as (bridge, _):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(HANDSHAKE):
                    await bridge.wait()
    print(f"\n4 TLS, the bridge alone: still waiting after {HANDSHAKE:.0f} s")


@asynccontextmanager
async def running(
    field: Field, **environment: str
) -> AsyncIterator[tuple[VpcProcess, asyncio.Future[list[bytes]]]]:
    """The bridge without a Lambda that would end it."""
    bridge = await field.start(
        [str(bridge_binary())],
        **sst_environment(field)
        | {"AWS_LAMBDA_LOG_STREAM_NAME": "x" * 32, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}
        | environment,
    )
    saying = asyncio.gather(bridge.stdout.read(), bridge.stderr.read())
    try:
        yield bridge, saying
    finally:
        bridge.kill()
        await bridge.wait()
        await saying
