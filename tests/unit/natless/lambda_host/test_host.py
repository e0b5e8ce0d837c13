"""The host's choice of an environment, where the loop has not come round yet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost


@pytest.mark.timeout(10)
async def test_a_call_between_an_answer_and_its_clean_up_does_not_stop_the_loop():
    spec = FunctionSpec("f", "m.h", task_root=Path("/"), bootstrap=("true",))
    async with LambdaHost(spec, launcher=HostLauncher(), journal=Journal()) as host:
        served = asyncio.create_task(asyncio.sleep(0))
        await served
        environment = SimpleNamespace(has_answered=True)
        host._environments.append(environment)
        host._serving[served] = environment
        refused = await host.invoke(b"{}")
        assert refused.status == 429
        host._environments.clear()
        host._serving.clear()
