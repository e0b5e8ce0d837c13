"""What a caller of the unmodified bridge meets, phase by phase, when the channel does not work.

One row a phase, as SST's bridge, Go and Lambda make them: what the function's log says, what the
caller is told, and which of Lambda's two limits ended it. The waits of the bridge cannot be
changed; Lambda's can, so every row is run twice: with short ones in every run, and with the real
ones (10 s for an init phase, 20 s for the function) in the nightly run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from natless.lambda_host.host import InvokeResult
from natless.vpc.model import Action, Direction, Rule, Topology
from natless.vpc.topologies import find
from tests.conformance.bridge_lambda import bridge_function, log_of
from tests.conformance.field import Field
from tests.conformance.stubborn_service import (
    acks_without_a_duration,
    never_acks,
    publishing,
    realtime,
    silent_tls,
)
from tests.shell.worker_channel import Facts

HTTP_PORT = 8443  # a second port of the relay, for publishing alone
NOISE = (
    *("prefix ", "waiting for interrupt signal", "RequestId", "INIT_REPORT", "timed out"),
    *("goroutine ", "main.", "github.com/", "\t"),  # where it crashed
)
TIMED_OUT = "Task timed out after {timeout:.2f} seconds"
EXITED = "Runtime exited without providing a reason"
CRASHED = "Runtime exited with error: exit status 2"
CONNECTING, SUBSCRIBED, ASKED = "INFO connecting", "INFO subscribed", "status 200 OK"
Service = Callable[[Field], AbstractAsyncContextManager[int]]
NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@dataclass(frozen=True)
class Row:
    """One phase in which it ends.

    Attributes:
        name: the phase and how it fails.
        topology: the network.
        last: what stands in the last words of the bridge, in each life or for each of them.
        init: how Lambda reports the init phase: ``timeout``, ``error`` or nothing at all.
        again: how it reports the second one, inside the invocation; None for likewise.
        lives: how often the bridge is started for one invocation.
        error: what the caller's error message ends with.
        environment: of the function, in place of SST's.
        publishes_apart: whether it publishes to a host of its own, which the network may block.
        before: the network of an invocation that works, before this one.
        realtime: serves the realtime host in place of the relay, and yields its port.
        http: likewise the host to publish to.
    """

    name: str
    topology: Topology
    last: str | tuple[str, ...]
    init: str = ""
    again: str | None = None
    lives: int = 1
    error: str = TIMED_OUT
    environment: Mapping[str, str] = field(default_factory=dict)
    publishes_apart: bool = False
    before: Topology | None = None
    realtime: Service | None = None
    http: Service | None = None


def _publish(action: Action) -> Topology:
    rules = (Rule(Direction.OUT, action, port=HTTP_PORT),)
    return replace(find("nat"), name="http-host-blocked", stateless=rules)


def _exits(name: str, topology: str, last: str, *, error: str = EXITED, **more: Any) -> Row:
    return Row(name, find(topology), last, init="error", lives=2, error=error, **more)


def _hangs(name: str, topology: Topology, last: str, **more: Any) -> Row:
    return Row(name, topology, last, init="timeout", lives=2, **more)


ROWS = (
    _exits("1 credentials, none", "nat", "run failed", environment=NO_CREDENTIALS),
    _exits("2 name, unknown", "dns-nxdomain", "no such host"),
    _hangs("2 name, no resolver", find("dns-silent"), CONNECTING),
    _hangs("3 TCP, no NAT", find("no-nat"), CONNECTING),
    _hangs("4 TLS, stalled", find("firewall-sni-drop"), CONNECTING),
    _exits("4 upgrade, endpoint refuses", "endpoint", "websocket: bad handshake"),
    _hangs("4 upgrade, unanswered", find("nat"), CONNECTING, realtime=silent_tls),
    _hangs(
        "4 ack, none", find("nat"), CONNECTING, realtime=partial(realtime, behaviour=never_acks)
    ),
    _exits(
        "4 ack, without its duration",
        "nat",
        "panic: interface conversion",
        error=CRASHED,
        realtime=partial(realtime, behaviour=acks_without_a_duration),
    ),
    _hangs(
        "6 publish init, HTTP host silent", _publish(Action.DROP), SUBSCRIBED, publishes_apart=True
    ),
    _hangs(
        "6 publish init, unanswered", find("nat"), SUBSCRIBED, http=partial(publishing, status=None)
    ),
    Row(
        "7 publish next, HTTP 500",
        find("nat"),
        "request failed with status 500",
        http=partial(publishing, status=500),
    ),
    Row(
        "7 publish next, HTTP host refuses",
        _publish(Action.RESET),
        "failed to close message",
        publishes_apart=True,
    ),
    Row(
        "7 publish next, HTTP host falls silent",
        _publish(Action.DROP),
        ASKED,
        publishes_apart=True,
        before=find("nat"),
    ),
)


async def meet(
    field: Field, row: Row, facts: Facts, *, init: float, timeout: float
) -> InvokeResult:
    """Invokes the bridge once in a row's network, and waits until its log is complete."""
    await field.vpc.apply(row.before or row.topology)
    async with AsyncExitStack() as stack:
        environment = await _environment(field, row, stack)
        function = await stack.enter_async_context(
            bridge_function(field, facts, init=init, timeout=timeout, **environment)
        )
        if row.before is not None:
            assert (await function.invoke(b'"before"')).function_error is None
            await function.settled()
            await field.vpc.apply(row.topology)
            facts.clear()
        result = await function.invoke(b'"x"')
        await function.settled()
    return result


async def _environment(field: Field, row: Row, stack: AsyncExitStack) -> dict[str, str]:
    environment, api = dict(row.environment), field.vpc.api
    if row.publishes_apart:
        environment["SST_APPSYNC_HTTP"] = f"{api.http_host}:{HTTP_PORT}"
    if row.http is not None:
        port = await stack.enter_async_context(row.http(field))
        environment["SST_APPSYNC_HTTP"] = f"{api.http_host}:{port}"
    if row.realtime is not None:
        port = await stack.enter_async_context(row.realtime(field))
        environment["SST_APPSYNC_REALTIME"] = f"{api.realtime_host}:{port}"
    return environment


def check(row: Row, result: InvokeResult, facts: Facts, *, init: float, timeout: float) -> None:
    """Compares what was met with the row."""
    log = log_of(facts)
    error = json.loads(result.payload)
    end = row.error.format(timeout=timeout)
    kind = "Sandbox.Timedout" if row.error == TIMED_OUT else "Runtime.ExitError"
    assert (result.status, result.function_error) == (200, "Unhandled")
    assert error == {
        "errorType": kind,
        "errorMessage": f"RequestId: {result.request_id} Error: {end}",
    }, log
    again = row.init if row.again is None else row.again
    phases = [("init", row.init), ("invoke", again)] if row.init else []
    reports = [line.split("\t")[1:3] for line in log.splitlines() if "INIT_REPORT" in line]
    assert reports == [[f"Phase: {name}", f"Status: {how}"] for name, how in phases], log
    assert ("Task timed out" in log) == (row.error == TIMED_OUT), log
    lives = _lives(log)
    assert len(lives) == row.lives, log
    lasts = row.last if isinstance(row.last, tuple) else (row.last,) * row.lives
    for life, last in zip(lives, lasts, strict=True):
        # The last two, as a bridge in a loop may be cut between them.
        assert any(last in line for line in life[-2:]), log
    # Nothing that was waited for can have been shorter than Lambda's own limits.
    waited = (init if row.init == "timeout" else 0) + (timeout if row.error == TIMED_OUT else 0)
    assert result.duration >= waited


def _lives(log: str) -> list[list[str]]:
    """The bridge's own lines from each of its starts on, without what says nothing."""
    lives: list[list[str]] = []
    for line in log.splitlines():
        if line.startswith("prefix ") or not lives:
            lives.append([])
        if not any(noise in line for noise in NOISE):
            lives[-1].append(line)
    return [life for life in lives if life]
