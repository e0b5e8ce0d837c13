"""Starts a program inside one of the lab's namespaces.

::

    fork ─ own session ─ network namespace ─ own mounts ─ no powers ─ exec
      └─ the parent reads a pipe that closes on exec, or brings the step that failed

What names mean in there was settled before, in :mod:`natless.vpc.name_lookup`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from natless.vpc import kernel

_EXEC_FAILED = 127
_NUMBERS = {os.strerror(number): number for number in errno.errorcode}


class LaunchFailed(Exception):
    """A program could not be started; the sentence names the step and the kernel's reason."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started and where.

    Attributes:
        argv: the program and its arguments; looked up in the PATH of ``environment``.
        environment: the whole environment.
        directory: the working directory.
        network: an open descriptor of the network namespace.
        stdout: a descriptor for the standard output.
        stderr: a descriptor for the standard error.
        inherited: descriptors that stay open under their own number.
        keeps_powers: whether it may change its network, which only our own tools need.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    network: int
    stdout: int
    stderr: int
    inherited: tuple[int, ...] = ()
    keeps_powers: bool = False


def as_os_error(sentence: str) -> OSError | None:
    """What a start outside the lab would have raised; None if the lab itself was at fault.

    Args:
        sentence: ends with that of a :class:`LaunchFailed`.
    """
    found = re.search(r"could not (?:execute|enter) (.+): ([^:]+)$", sentence)
    number = _NUMBERS.get(found[2]) if found else None
    return None if found is None or number is None else OSError(number, found[2], found[1])


def launch(program: Program) -> int:
    """Starts the program and returns its process id, which is also its group's and session's.

    Must be called by a process with a single thread.

    Raises:
        LaunchFailed: it could not be started; nothing is left of it.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _become(program, report=writer)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        complaint = stream.read()
    if complaint:
        os.waitpid(pid, 0)
        raise LaunchFailed(complaint)
    return pid


def _become(program: Program, *, report: int) -> NoReturn:
    step = "prepare"
    try:
        kernel.die_with_parent()
        os.setsid()
        _reset_signals()
        _wire_up(program)
        step = "enter the network namespace"
        kernel.enter(program.network, flags=kernel.CLONE_NEWNET)
        step = "get mounts of its own"
        kernel.unshare(kernel.CLONE_NEWNS)
        if not program.keeps_powers:
            step = "give up its powers"
            kernel.give_up_powers()
        step = f"enter {program.directory}"
        os.chdir(program.directory)
        step = f"execute {program.argv[0]}"
        os.execvpe(program.argv[0], list(program.argv), dict(program.environment))
    except BaseException as error:  # a fork of ours: nothing may run on beyond this point
        reason = error.strerror if isinstance(error, OSError) else repr(error)
        os.write(report, f"could not {step}: {reason}".encode())
    finally:
        os._exit(_EXEC_FAILED)


def _wire_up(program: Program) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    os.dup2(program.stdout, 1)
    os.dup2(program.stderr, 2)
    for descriptor in program.inherited:
        os.set_inheritable(descriptor, True)


def _reset_signals() -> None:
    # Python ignores SIGPIPE, and ignored signals stay ignored across exec.
    for each in signal.Signals:
        with contextlib.suppress(OSError, ValueError):  # SIGKILL and SIGSTOP
            signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def python_program(module: str, *arguments: str) -> tuple[str, ...]:
    """The command of a module of ours; ``-P`` keeps a user's folders from shadowing it."""
    return (sys.executable, "-P", "-m", module, *arguments)


def python_environment(base: Mapping[str, str]) -> dict[str, str]:
    """``base`` with our own packages first on Python's path."""
    root = str(Path(__file__).resolve().parents[2])
    rest = base.get("PYTHONPATH", "")
    return {**base, "PYTHONPATH": f"{root}{os.pathsep}{rest}" if rest else root}
