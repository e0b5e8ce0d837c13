from __future__ import annotations

import time
from dataclasses import replace

import pytest

from event_protocol.phases import Outcome, Phase, Span
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.fallbacks.base import Failure
from runtime_shim.fallbacks.deployed import DeployedFallback
from runtime_shim.runtime_api import Invocation

CODE = {"_HANDLER": "app.handler", "LAMBDA_TASK_ROOT": "/var/task"}
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
    worker_id="w" * 32,
    environment=CODE,
)
SPAN = Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT)


def invocation(seconds: float = 10.0) -> Invocation:
    now = time.monotonic()
    return Invocation("req", {}, b"{}", received=now, deadline=now + seconds)


def test_it_applies_when_there_is_code_and_time() -> None:
    assert DeployedFallback(CONFIG).applies(invocation(), Failure(SPAN))


@pytest.mark.parametrize("missing", CODE)
def test_without_code_it_does_not_apply(missing: str) -> None:
    environment = {name: value for name, value in CODE.items() if name != missing}
    config = replace(CONFIG, environment=environment)
    assert not DeployedFallback(config).applies(invocation(), Failure(SPAN))


def test_a_command_is_code() -> None:
    config = replace(CONFIG, environment={}, deployed_command=("/var/runtime/bootstrap",))
    assert DeployedFallback(config).applies(invocation(), Failure(SPAN))


def test_without_time_it_does_not_apply() -> None:
    assert not DeployedFallback(CONFIG).applies(invocation(0.05), Failure(SPAN))


def test_what_the_developer_has_taken_is_not_run_twice_unless_wished() -> None:
    accepted = Failure(SPAN, is_accepted=True)
    assert not DeployedFallback(CONFIG).applies(invocation(), accepted)
    wished = replace(CONFIG, deployed_after_accepted=True)
    assert DeployedFallback(wished).applies(invocation(), accepted)


async def test_closing_what_never_ran_is_fine() -> None:
    await DeployedFallback(CONFIG).close()
