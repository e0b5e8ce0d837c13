"""A filter lets HTTPS through and drops WebSockets: the answer is fetched by long polls."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from event_protocol.phases import InvocationRecord, Outcome, Phase, Strategy
from natless.journal import Journal
from natless.lab import Lab, VpcLauncher, open_lab
from natless.lambda_host.host import InvokeResult, LambdaHost
from natless.progress import SilentProgress
from natless.settings import load_settings
from natless.vpc.model import Action, Direction, Rule
from natless.vpc.netns import can_use_namespaces
from natless.vpc.topologies import find

REASON = can_use_namespaces()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

REALTIME_PORT = 8443  # the lab has both hosts on one address: the port stands for the host
BLOCKED = replace(find("nat"), stateless=(Rule(Direction.OUT, Action.DROP, port=REALTIME_PORT),))
EVENT = json.dumps({"name": "poll"}).encode()


@asynccontextmanager
async def function(lab: Lab, records: list[InvocationRecord]) -> AsyncIterator[LambdaHost]:
    spec = lab.function(environments=1).spec
    environment: dict[str, Any] = dict(spec.environment) | {
        "NATLESS_REALTIME": f"{lab.relay.realtime_host}:{REALTIME_PORT}",
        "NATLESS_FALLBACKS": "poll,error",
        "NATLESS_BUDGET_CONNECT_TCP": "0.5",
    }
    host = LambdaHost(
        replace(spec, environment=environment),
        launcher=VpcLauncher(lab.vpc),
        journal=lab.journal,
    )
    host.on_record(records.append)
    async with host:
        yield host


async def ask(host: LambdaHost) -> InvokeResult:
    result = await host.invoke(EVENT)
    await host.settled()
    return result


async def test_a_network_that_blocks_the_realtime_host_gets_the_developers_answer() -> None:
    records: list[InvocationRecord] = []
    with tempfile.TemporaryDirectory(prefix="natless-") as folder:
        opened = open_lab(
            load_settings(),
            journal=Journal(),
            progress=SilentProgress(),
            directory=Path(folder),
        )
        async with opened as lab:
            await lab.vpc.apply(BLOCKED)
            async with function(lab, records) as host:
                answers = [await ask(host) for _ in range(3)]
            await lab.vpc.apply(find("no-nat"))
            async with function(lab, records) as host:
                lost = await ask(host)
    for answer in answers:
        assert answer.function_error is None, answer.payload
        assert b"developer" in answer.payload
    first, second, third, without_https = records
    failed = [span for span in first.spans if span.outcome is not Outcome.OK]
    assert [(span.phase, span.outcome) for span in failed] == [(Phase.CONNECT, Outcome.TIMEOUT)]
    assert first.strategy is Strategy.POLL
    polled = [span for span in first.spans if span.detail.get("via") == "poll"]
    assert [span.phase for span in polled] == [
        Phase.RESOLVE,
        Phase.CONNECT,
        Phase.TLS,
        Phase.SUBSCRIBE,
    ]
    for kept in (second, third):
        assert Phase.CONNECT not in [span.phase for span in kept.spans], "it is kept while it works"
        steps = [span.detail["step"] for span in kept.spans if span.phase is Phase.PUBLISH]
        assert steps == ["answer"], "over the connection that it has"
    # The same function where HTTPS is blocked, too: the next strategy answers.
    assert lost.function_error == "Unhandled"
    assert without_https.strategy is Strategy.ERROR
    assert "poll could not: over HTTPS: connect timeout" in without_https.note
