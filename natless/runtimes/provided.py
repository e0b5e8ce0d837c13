"""Anything with a ``bootstrap``: a shell script, a program in Go, Rust or C, a runtime client."""

from __future__ import annotations

import os
from pathlib import Path

from natless.errors import EnvironmentLacks
from natless.runtimes.base import Family, Runtime

BOOTSTRAP = "bootstrap"
# Scripts that a bootstrap may run. What is compiled changes the bootstrap itself.
_SCRIPTS = (".sh", ".bash", ".py", ".rb", ".pl", ".php", ".lua", ".js", ".mjs", ".cjs", ".awk")


class ProvidedRuntime(Runtime):
    """An executable file called ``bootstrap`` in the folder, as ``provided.al2023`` starts it."""

    family = Family.PROVIDED

    @property
    def can_be_held(self) -> bool:
        """It loads the handler in its own way, and nobody can keep it from doing so."""
        return False

    @staticmethod
    def find_source(folder: Path, handler: str) -> Path | None:
        """The bootstrap, whatever the handler is called."""
        return folder / BOOTSTRAP if (folder / BOOTSTRAP).is_file() else None

    def command(self, folder: Path) -> tuple[str, ...]:
        """The bootstrap itself."""
        return (str(folder / BOOTSTRAP),)

    def is_source(self, path: Path, folder: Path) -> bool:
        """The bootstrap, and scripts."""
        return path == folder / BOOTSTRAP or path.suffix in _SCRIPTS

    def check(self, source: Path) -> None:
        """Whether it may be executed.

        Raises:
            EnvironmentLacks: it may not.
        """
        if not os.access(source, os.X_OK):
            raise EnvironmentLacks(f"{source} is not executable", hint=f"chmod +x {source}")
