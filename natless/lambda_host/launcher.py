"""Where a runtime's process lives: on this host, or wherever another launcher puts it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

_PIPE_LIMIT_BYTES = 1024 * 1024


class Process(Protocol):
    """A process that runs, with its output."""

    @property
    def pid(self) -> int:
        """Its id where it runs; in a process namespace it means nothing outside."""

    @property
    def stdout(self) -> asyncio.StreamReader:
        """What it prints."""

    @property
    def stderr(self) -> asyncio.StreamReader:
        """What it complains about."""

    async def wait(self) -> int:
        """Its exit status; minus the signal's number when a signal ended it."""

    def kill(self) -> None:
        """SIGKILL, to it and to whatever it started. Does nothing once it is gone."""

    def terminate(self) -> None:
        """SIGTERM likewise."""

    def send_signal(self, number: int) -> None:
        """Any signal likewise."""


class Launcher(Protocol):
    """Starts the processes of execution environments, and makes the sockets they talk to.

    Both belong together: a socket made by :meth:`listen` is reachable at its own address from a
    process started by :meth:`run`, in whatever network namespace that is.
    """

    async def listen(self) -> socket.socket:
        """A listening TCP socket on loopback, on a free port."""

    async def run(
        self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path | None = None
    ) -> Process:
        """Starts ``argv`` with exactly this environment.

        Raises:
            OSError: it cannot be started.
        """


class HostLauncher:
    """Plain processes on this host's own network."""

    async def listen(self) -> socket.socket:
        """A listening TCP socket on 127.0.0.1."""
        return socket.create_server(("127.0.0.1", 0), backlog=64)

    async def run(
        self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path | None = None
    ) -> HostProcess:
        """Starts ``argv`` in a process group of its own, so that Ctrl-C reaches only us.

        Raises:
            OSError: there is no such program or folder.
        """
        _check_program(argv[0], environment.get("PATH", os.defpath))
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: _Protocol(loop),
            *die_with_parent(),
            *argv,
            env=dict(environment),
            cwd=directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,
        )
        return HostProcess(transport, protocol)


def _check_program(name: str, path: str) -> None:
    """Finds out what setpriv, which comes first, would only say in the output."""
    if shutil.which(name, path=path) is None:
        number = errno.EACCES if Path(name).is_file() else errno.ENOENT
        raise OSError(number, os.strerror(number), name)


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Knows when the process itself has ended.

    The ``wait`` of asyncio's own process object also waits for the end of its pipes, up to Python
    3.12.4, and those may be held open for ever by what the process has started.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(_PIPE_LIMIT_BYTES, loop)
        self.exited: asyncio.Future[None] = loop.create_future()

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)
        super().process_exited()


class HostProcess:
    """A process on this host and the group that it leads."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol) -> None:
        if protocol.stdout is None or protocol.stderr is None:
            raise ValueError("the process needs pipes")
        self._transport = transport
        self._exited = protocol.exited
        self.pid = transport.get_pid()
        self.stdout = protocol.stdout
        self.stderr = protocol.stderr

    async def wait(self) -> int:
        """Its exit status, negative for a signal."""
        await asyncio.shield(self._exited)
        status = self._transport.get_returncode()
        assert status is not None
        return status

    def kill(self) -> None:
        """SIGKILL to the whole group, which may outlive its leader."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM to the whole group."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """A signal to the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def close(self) -> None:
        """Lets go of its pipes, which something that left its group may still hold open."""
        self._transport.close()


def die_with_parent() -> tuple[str, ...]:
    """What to put before a command so that the kernel ends it when we are gone, even by SIGKILL.

    ``setpriv`` is in util-linux; it replaces itself by the command, so the process id stays. Where
    it is missing (other systems), processes notice our end by their Runtime API connection only.
    """
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
