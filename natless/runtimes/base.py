"""What a runtime knows: the file of a handler, the command that runs it, what counts as its source.

One language a file; :mod:`natless.runtimes.catalogue` finds the right one by name or by what is in
the folder.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from natless.errors import ComponentFailed


class Family(StrEnum):
    """A language, or none: a program of the developer's own that speaks the Runtime API."""

    PYTHON = "python"
    NODE = "nodejs"
    PROVIDED = "provided"


class Runtime(ABC):
    """One of Lambda's runtimes, as this machine offers it.

    Attributes:
        family: its language.
        name: as in a function's settings: ``python3.12``, ``nodejs20.x``, ``provided.al2023``.
        interpreter: the program that runs the handler; None where the handler is a program itself.
    """

    family: Family

    def __init__(self, name: str, interpreter: Path | None) -> None:
        self.name = name
        self.interpreter = interpreter

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Runtime)
            and (self.name, self.interpreter) == (other.name, other.interpreter)
        )

    def __hash__(self) -> int:
        return hash((type(self), self.name, self.interpreter))

    @property
    def can_be_held(self) -> bool:
        """Whether our client runs the handler, which can be started before it is needed."""
        return True

    @staticmethod
    @abstractmethod
    def find_source(folder: Path, handler: str) -> Path | None:
        """The file that holds ``handler`` and is edited; None when there is none."""

    @abstractmethod
    def command(self, folder: Path) -> tuple[str, ...]:
        """What runs the code in ``folder``, on the developer's machine or as it is deployed."""

    @abstractmethod
    def is_source(self, path: Path, folder: Path) -> bool:
        """Whether a change of ``path`` can change what a handler in ``folder`` does."""

    def check(self, source: Path) -> None:  # noqa: B027  most have nothing to check
        """Finds out early what would keep ``source`` from being run.

        Raises:
            EnvironmentLacks: a tool is missing; says how to get it.
        """

    @property
    def debugger(self) -> str:
        """What speaks to debuggers; empty where it is the handler's own affair."""
        return ""

    def check_debugger(self) -> None:  # noqa: B027  most have nothing to check
        """Finds out whether a debugger can attach.

        Raises:
            EnvironmentLacks: what it needs is missing; says how to get it.
        """

    def remark(self) -> str:
        """What differs from the runtime that was asked for; empty when nothing does."""
        return ""


@dataclass(frozen=True, slots=True)
class Code:
    """A function's code on this machine.

    Attributes:
        folder: where it lies, absolute; its process runs there.
        handler: as in the function's settings, ``module.function``.
        runtime: what runs it.
        source: the file that holds the handler.
    """

    folder: Path
    handler: str
    runtime: Runtime
    source: Path


def client_path(name: str) -> Path:
    """A runtime client that travels with the guest; it is run by its path, never imported.

    Raises:
        ComponentFailed: the package ``runtime_shim`` is not installed beside natless.
    """
    found = importlib.util.find_spec("runtime_shim")
    places = found.submodule_search_locations if found is not None else None
    if not places:
        raise ComponentFailed(
            "the package runtime_shim is not installed beside natless",
            hint="install natless again, with its parts",
        )
    return Path(next(iter(places))) / name
