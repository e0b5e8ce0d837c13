"""One process together with the Runtime API that only it talks to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from natless.lambda_host.clock import Clock, wait_first
from natless.lambda_host.hosted_process import HostedProcess, describe_exit
from natless.lambda_host.launcher import Launcher
from natless.lambda_host.output import LineListener
from natless.lambda_host.runtime_api import RuntimeApi

__all__ = ["RuntimeProcess", "describe_exit"]


class RuntimeProcess:
    """A runtime from its start to its end; the owner must :meth:`stop` it.

    Attributes:
        api: its Runtime API.
        exited: the task that is done when the process has ended; its result is the exit status,
            negative for a signal.
    """

    def __init__(self, process: HostedProcess, *, api: RuntimeApi) -> None:
        self.api = api
        self.pid = process.pid
        self.exited = process.exited
        self._process = process
        self._stopping: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        launcher: Launcher,
        environment: Mapping[str, str],
        directory: Path | None,
        on_line: LineListener,
        clock: Clock | None = None,
        make_api: Callable[[socket.socket], RuntimeApi] = RuntimeApi,
    ) -> RuntimeProcess:
        """Opens a Runtime API and starts ``argv`` with its address in the environment.

        Raises:
            OSError: the process cannot be started.
        """
        api = make_api(await launcher.listen())
        try:
            await api.open()
            process = await HostedProcess.start(
                argv,
                launcher=launcher,
                environment={**environment, "AWS_LAMBDA_RUNTIME_API": api.address},
                directory=directory,
                on_line=on_line,
                clock=clock,
            )
        except BaseException:
            await api.close()
            raise
        return cls(process, api=api)

    @property
    def has_exited(self) -> bool:
        """Whether the process is gone."""
        return self.exited.done()

    async def initialized(self, clock: Clock, deadline: float | None) -> bool:
        """Waits for the first ``next``, an ``init/error``, the end of the process or ``deadline``.

        Returns:
            Whether the runtime is ready for its first event.
        """
        await wait_first(clock, deadline, self.api.initialized, self.api.init_error, self.exited)
        return self.api.initialized.done() and not self.has_exited

    async def stop(self) -> None:
        """SIGKILL; returns when all is gone and read.

        It goes on when its caller is cancelled, and a later call waits for its end.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        try:
            await self._process.stop()
        finally:
            await self.api.close()
