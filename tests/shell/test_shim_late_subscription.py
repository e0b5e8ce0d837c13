"""The relay acknowledges at once and delivers later, as AWS was seen to do: no answer is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from event_protocol.phases import Outcome, Phase, Strategy
from natless.worker import Worker, WorkerConfig
from relay.config import NamespaceConfig
from tests.shell.relay_stage import API_KEY, HTTP_HOST, api_config, start
from tests.shell.shim_peers import ScriptedRuntimeApi, guest_environment, run_guest
from tests.shell.worker_channel import Facts

HANDLER = "def handler(event, context):\n    return {'developer': event}\n"


@pytest.mark.parametrize("lag", [0.0, 0.3])
async def test_an_environment_waits_until_its_subscription_delivers(
    tmp_path: Path, lag: float
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "handler.py").write_text(HANDLER)
    api = api_config(namespaces=(NamespaceConfig(name="sst"),))
    facts = Facts()
    async with (
        start(tmp_path, api=api, subscription_lag=lag) as stage,
        ScriptedRuntimeApi().serving() as runtime_api,
    ):
        config = WorkerConfig(
            url=f"ws://localhost:{stage.relay.plain_port}/event/realtime",
            host=HTTP_HOST,
            api_key=API_KEY,
            app="app",
            stage="dev",
            folder=code,
            handler="handler.handler",
        )
        environment = guest_environment(
            runtime_api,
            host=f"localhost:{stage.relay.port}",
            ca=tmp_path / "ca" / "ca.pem",
            task_root=code,
            NATLESS_API_KEY=API_KEY,
            NATLESS_HTTP=HTTP_HOST,
            NATLESS_FALLBACKS="error",
        )
        async with Worker(config, facts.journal), run_guest(environment) as guest:
            posted = await runtime_api.ask({"n": 1})
            record = await guest.record()
    assert posted.json == {"developer": {"n": 1}}
    assert record.strategy is Strategy.WORKER
    (probe,) = [span for span in record.spans if span.phase is Phase.PROBE]
    assert probe.outcome is Outcome.OK
    assert probe.duration >= lag
