"""Starts the guest: ``python -I natless-shim.pyz``, one process for one execution environment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import NoReturn

from runtime_shim.budgets import Budgets
from runtime_shim.config import ShimConfig
from runtime_shim.errors import BridgeExit, ConfigError, RuntimeApiLost
from runtime_shim.runtime_api import Answer, RuntimeApiClient
from runtime_shim.shim import Shim


def main() -> NoReturn:
    """Runs until the Runtime API is gone (exit 1) or SIGTERM or SIGINT arrives (exit 0)."""
    code = asyncio.run(_run())
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # a resolver's thread that nobody answers would hold the process for 20 s


async def _run() -> int:
    try:
        config = ShimConfig.from_environment(os.environ)
        shim = Shim(config, api=RuntimeApiClient(config.runtime_api), write_line=_write_line)
    except ConfigError as error:
        return await _refuse_to_start(error)
    task = asyncio.create_task(shim.run(), name="shim")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except BridgeExit as error:
        sys.stderr.write(f"{error}\n")
        return 0
    except RuntimeApiLost as error:
        sys.stderr.write(f"natless-shim: {error}\n")
        return 1
    return 0


async def _refuse_to_start(error: ConfigError) -> int:
    """An init error: Lambda hands it to the caller of the first invocation."""
    sys.stderr.write(f"natless-shim: {error}\n")
    address = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
    if address:
        with contextlib.suppress(RuntimeApiLost, TimeoutError):
            async with asyncio.timeout(Budgets().answer_post):
                api = RuntimeApiClient(address)
                await api.fail_init(Answer.error("LiveBridge.ConfigInvalid", str(error)))
    return 1


def _write_line(line: str) -> None:
    with contextlib.suppress(OSError):  # an answer counts for more than a log that nobody reads
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
