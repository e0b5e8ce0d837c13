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
        if shutil.which(argv[0], path=environment.get("PATH", os.defpath)) is None:
            # setpriv, which comes first, would only say so in the output
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        process = await asyncio.create_subprocess_exec(
            *die_with_parent(),
            *argv,
            env=dict(environment),
            cwd=directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_PIPE_LIMIT_BYTES,
            process_group=0,
        )
        return HostProcess(process)


class HostProcess:
    """A process on this host and the group that it leads."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None or process.stderr is None:
            raise ValueError("the process needs pipes")
        self._process = process
        self.pid = process.pid
        self.stdout = process.stdout
        self.stderr = process.stderr

    async def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return await self._process.wait()

    def kill(self) -> None:
        """SIGKILL to the whole group, which may outlive its leader."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM to the whole group."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def die_with_parent() -> tuple[str, ...]:
    """What to put before a command so that the kernel ends it when we are gone, even by SIGKILL.

    ``setpriv`` is in util-linux; it replaces itself by the command, so the process id stays. Where
    it is missing (other systems), processes notice our end by their Runtime API connection only.
    """
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
