"""One process of an execution environment: what it prints is read, and it can be frozen."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from natless.lambda_host.clock import Clock, SystemClock, wait_first
from natless.lambda_host.launcher import HostProcess, Launcher, Process
from natless.lambda_host.output import LineListener, Redactor, Stream, read_lines

_LAST_OUTPUT_SECONDS = 0.5  # a grandchild may hold the pipe open


class HostedProcess:
    """A process from its start to its end; the owner must :meth:`stop` it.

    Attributes:
        pid: its id where it runs.
        exited: the task that is done when the process has ended; its result is the exit status,
            negative for a signal.
        is_frozen: whether it was stopped by :meth:`freeze`.
    """

    def __init__(
        self, process: Process, *, on_line: LineListener, redact: Redactor, clock: Clock
    ) -> None:
        self.pid = process.pid
        self.is_frozen = False
        self._process = process
        self._clock = clock
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
        clock: Clock | None = None,
    ) -> HostedProcess:
        """Starts ``argv``.

        Raises:
            OSError: the process cannot be started.
        """
        process = await launcher.run(argv, environment=environment, directory=directory)
        return cls(
            process,
            on_line=on_line,
            redact=Redactor(environment),
            clock=clock or SystemClock(),
        )

    @property
    def has_exited(self) -> bool:
        """Whether the process is gone."""
        return self.exited.done()

    def freeze(self) -> None:
        """Stops it and what it has started, until :meth:`thaw`."""
        if not self.is_frozen and not self.has_exited:
            self.is_frozen = True
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on as if nothing had been."""
        if self.is_frozen:
            self.is_frozen = False
            self._process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Asks it to end."""
        self.thaw()
        self._process.terminate()

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

    async def stop(self) -> None:
        """SIGKILL, which also ends what is frozen; returns when all is gone and read.

        It goes on when its caller is cancelled, and a later call waits for its end.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._process.kill()
        try:
            await asyncio.wait([self.exited])
            reading = asyncio.gather(*self._readers, return_exceptions=True)
            await wait_first(self._clock, self._clock.now() + _LAST_OUTPUT_SECONDS, reading)
            if not self.exited.cancelled():
                self.exited.exception()  # whoever waited for it has read it; here it is no news
        finally:
            self._process.kill()  # what it left behind in its group
            for reader in self._readers:
                reader.cancel()
            await asyncio.gather(*self._readers, return_exceptions=True)
            if isinstance(self._process, HostProcess):
                self._process.close()


async def output_settled() -> None:
    """Returns once what processes printed so far has been read from their pipes.

    A line that was printed before a call of the Runtime API is in the pipe when that call
    arrives, so two idle turns of the loop are enough.
    """
    for _ in range(2):
        await asyncio.sleep(0)


def describe_exit(status: int) -> str:
    """How Lambda words the end of a runtime (``rapid/handlers.go``)."""
    if status == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {describe_status(status)}"


def describe_status(status: int) -> str:
    """An exit status in the words of the open core."""
    if status == 0:
        return "exit code 0"
    if status > 0:
        return f"exit status {status}"
    return f"signal: {_signal_word(-status)}"


def _hand_over(on_line: LineListener, line: str, *, stream: Stream, redact: Redactor) -> None:
    on_line(stream, redact(line))


def _signal_word(number: int) -> str:
    # Go's words for signals are lower case and, for those seen in practice, those of strsignal
    return (signal.strsignal(number) or str(number)).lower()
