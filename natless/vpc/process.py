"""A program in one of the lab's namespaces, as the outside holds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

LINE_BYTES = 1024 * 1024
"""The longest line that can be read from a program's output, and the most kept unread of it."""

SendSignal = Callable[[int], Awaitable[None]]


class VpcProcess:
    """A running program. Made by :meth:`natless.vpc.netns.NetnsVpc.run`.

    Its standard input is empty. Signals reach the program and everything it has started, and when
    it ends, so does what it has left behind.

    Attributes:
        pid: its process id *inside* the lab, which means nothing to ``os.kill`` outside.
        stdout: its standard output.
        stderr: its standard error.
    """

    def __init__(
        self,
        *,
        pid: int,
        stdout: OutputPipe,
        stderr: OutputPipe,
        ended: asyncio.Future[int],
        send_signal: SendSignal,
    ) -> None:
        self.pid = pid
        self.stdout = stdout.reader
        self.stderr = stderr.reader
        self._pipes = (stdout, stderr)
        self._ended = ended
        self._send_signal = send_signal
        self._signals: set[asyncio.Task[None]] = set()

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number when a signal ended it; None while it runs."""
        if self._ended.done() and not self._ended.cancelled() and not self._ended.exception():
            return self._ended.result()
        return None

    async def wait(self) -> int:
        """Waits for its end and returns the exit code, as :attr:`returncode`.

        Its output may still have to be read. There is no budget: whoever waits has one.

        Raises:
            ComponentFailed: the lab broke first.
        """
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """Asks for its end by SIGKILL; does nothing when it has ended."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks for its end by SIGTERM; does nothing when it has ended."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """Sends a signal to it and to all it has started; does nothing when it has ended."""
        if self._ended.done():
            return
        task = asyncio.get_running_loop().create_task(self._quietly(number))
        self._signals.add(task)
        task.add_done_callback(self._signals.discard)

    async def _quietly(self, number: int) -> None:
        await self._send_signal(number)

    @property
    def is_over(self) -> bool:
        """Whether it has ended and all of its output has been taken in."""
        return self._ended.done() and all(pipe.is_closed for pipe in self._pipes)

    def close(self) -> None:
        """Closes our ends of its output."""
        for pipe in self._pipes:
            pipe.close()


class OutputPipe:
    """Our end of one of a program's outputs, and the end that the program gets."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.reader = reader
        self._transport = transport

    @classmethod
    async def open(cls) -> tuple[OutputPipe, int]:
        """A new pipe: our end, and a descriptor for the program, which is the caller's to close."""
        read, write = os.pipe()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", buffering=0)
        )
        return cls(reader, transport), write

    @property
    def is_closed(self) -> bool:
        """Whether the other end was closed and all of it was read, or ours was."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Closes our end; what was read already stays in the reader."""
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a program that is about to be started. Made by :func:`open_outputs`.

    Attributes:
        stdout: our end of its standard output.
        stderr: our end of its standard error.
        descriptors: the program's ends, in the same order.
    """

    stdout: OutputPipe
    stderr: OutputPipe
    descriptors: tuple[int, int]


@contextlib.asynccontextmanager
async def open_outputs() -> AsyncIterator[Outputs]:
    """Two pipes. The program's ends close here with the block, ours only when it fails."""
    async with contextlib.AsyncExitStack() as stack:
        ours, theirs = [], []
        for _ in range(2):
            pipe, descriptor = await OutputPipe.open()
            stack.callback(os.close, descriptor)
            ours.append(pipe)
            theirs.append(descriptor)
        try:
            yield Outputs(ours[0], ours[1], (theirs[0], theirs[1]))
        except BaseException:
            for pipe in ours:
                pipe.close()
            raise
