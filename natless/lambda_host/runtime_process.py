"""One process together with the Runtime API that only it talks to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from natless.lambda_host.clock import Clock, wait_first
from natless.lambda_host.launcher import HostProcess, Launcher, Process
from natless.lambda_host.output import LineListener, Redactor, Stream, read_lines
from natless.lambda_host.runtime_api import RuntimeApi

_LAST_OUTPUT_SECONDS = 0.5  # a grandchild may hold the pipe open


class RuntimeProcess:
    """A runtime from its start to its end; the owner must :meth:`stop` it.

    Attributes:
        api: its Runtime API.
        exited: the task that is done when the process has ended; its result is the exit status,
            negative for a signal.
    """

    def __init__(
        self, process: Process, *, api: RuntimeApi, on_line: LineListener, redact: Redactor
    ) -> None:
        self.api = api
        self.pid = process.pid
        self._process = process
        self._stopping: asyncio.Task[None] | None = None
        self.exited = asyncio.create_task(process.wait())
        self._readers = [
            asyncio.create_task(
                read_lines(reader, partial(_hand_over, on_line, stream=stream, redact=redact))
            )
            for stream, reader in (
                (Stream.STDOUT, process.stdout),
                (Stream.STDERR, process.stderr),
            )
        ]

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        launcher: Launcher,
        environment: Mapping[str, str],
        directory: Path | None,
        on_line: LineListener,
        make_api: Callable[[socket.socket], RuntimeApi] = RuntimeApi,
    ) -> RuntimeProcess:
        """Opens a Runtime API and starts ``argv`` with its address in the environment.

        Raises:
            OSError: the process cannot be started.
        """
        api = make_api(await launcher.listen())
        try:
            await api.open()
            process = await launcher.run(
                argv,
                environment={**environment, "AWS_LAMBDA_RUNTIME_API": api.address},
                directory=directory,
            )
        except BaseException:
            await api.close()
            raise
        return cls(process, api=api, on_line=on_line, redact=Redactor(environment))

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

    def peak_memory_bytes(self) -> int | None:
        """The largest resident size that the process ever had; None when it cannot be read.

        Elsewhere than on this host, in a process namespace, the id is another process's here.
        """
        if not isinstance(self._process, HostProcess):
            return None
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
            line = next((s for s in status.splitlines() if s.startswith("VmHWM:")), "")
            return int(line.split()[1]) * 1024
        return None

    async def output_settled(self) -> None:
        """Returns once what the process printed so far has been read from its pipes.

        A line that was printed before a call of the Runtime API is in the pipe when that call
        arrives, so two idle turns of the loop are enough.
        """
        for _ in range(2):
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """SIGKILL, as Lambda does without extensions; returns when all is gone and read.

        It goes on when its caller is cancelled, and a later call waits for its end.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._process.kill()
        try:
            await asyncio.wait([self.exited])
            await asyncio.wait(self._readers, timeout=_LAST_OUTPUT_SECONDS)
            if not self.exited.cancelled():
                self.exited.exception()  # whoever waited for it has read it; here it is no news
        finally:
            self._process.kill()  # what it left behind in its group
            for reader in self._readers:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)
            if isinstance(self._process, HostProcess):
                self._process.close()
            await self.api.close()


def _hand_over(on_line: LineListener, line: str, *, stream: Stream, redact: Redactor) -> None:
    on_line(stream, redact(line))


def describe_exit(status: int) -> str:
    """How Lambda words the end of a runtime (``rapid/handlers.go``)."""
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    return f"Runtime exited with error: signal: {_signal_word(-status)}"


def _signal_word(number: int) -> str:
    # Go's words for signals are lower case and, for those seen in practice, those of strsignal
    return (signal.strsignal(number) or str(number)).lower()
