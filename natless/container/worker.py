"""The worker in its container: the developer's folder is mounted, and what it does is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from natless.container.shared import SharedFolder
from natless.journal import Fact, Journal
from natless.worker import Worker, WorkerConfig

FOLDER = Path("/app")
"""Where the developer's folder is mounted."""

RELAY = ("relay", 443)
"""The relay on the developer's side, by the name that it has there."""

_TOLD = {
    "worker.log": "{line}",
    "worker.reload.noticed": "saved: {files}",
    "worker.reload.complete": "reloaded; the next call runs the new code",
    "worker.stage.shared": "{developer} works on this stage, too: calls may get their answers",
    "worker.reload.failed": "the new code does not start: {reason}",
}


async def run_worker(shared: SharedFolder) -> None:
    """Answers invocations until SIGTERM.

    Raises:
        ComponentFailed: the relay is not there, or refuses.
    """
    identity = await asyncio.to_thread(shared.wait_identity)
    journal = Journal()
    journal.listen(_tell)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    config = WorkerConfig(
        url="wss://localhost/event/realtime",
        connect=RELAY,
        host=f"{identity.label}.appsync-api.{identity.region}.amazonaws.com",
        api_key=identity.api_key,
        ca=shared.ca,
        app=identity.app,
        stage=identity.stage,
        namespace=identity.namespace,
        folder=FOLDER,
        handler=identity.handler,
        environment=_environment(),
    )
    async with Worker(config, journal):
        shared.mark_worker()
        print(f"your code answers from {os.environ.get('NATLESS_APP') or FOLDER}", flush=True)
        await ended.wait()


def _environment() -> dict[str, str]:
    """What the developer wants the handler to have: variables called ``APP_…``, without that."""
    return {
        name.removeprefix("APP_"): value
        for name, value in os.environ.items()
        if name.startswith("APP_")
    }


def _tell(fact: Fact) -> None:
    if (form := _TOLD.get(fact.kind)) is not None:
        with contextlib.suppress(KeyError):
            print(form.format(**fact.data), flush=True)
