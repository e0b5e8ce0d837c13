"""Python handlers: by our own runtime client, with the interpreter that has the packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from natless.errors import EnvironmentLacks
from natless.runtimes.base import Family, Runtime, client_path

CLIENT = "python_runtime.py"

# What changes a Python function: the list of SST's own watcher (pkg/runtime/python).
_SUFFIXES = (".py", ".toml", ".lock", ".cfg")
_NAMES = ("requirements.txt",)
_ENVIRONMENTS = (".venv", "venv")
_IMPORT_BUDGET = 30.0  # seconds to import debugpy


class PythonRuntime(Runtime):
    """Python; ``-B``, as bytecode is taken for fresh if size and second of change are the same.

    What one version of a handler left behind could otherwise run in place of the next.
    """

    family = Family.PYTHON

    @classmethod
    def for_folder(cls, name: str, folder: Path, *, interpreter: Path | None) -> PythonRuntime:
        """The runtime with the interpreter that has the function's packages.

        Args:
            name: ``python`` or ``python3.12``.
            folder: the function's; its virtual environment, or one of a folder above it within
                the same repository, comes before this process's own interpreter.
            interpreter: the one to take in any case.

        Raises:
            EnvironmentLacks: ``interpreter`` is not there.
        """
        if interpreter is not None:
            return cls(name, find_program(interpreter))
        found = _environment_of(folder) or _installed(name) or Path(sys.executable)
        return cls(name, found)

    @staticmethod
    def find_source(folder: Path, handler: str) -> Path | None:
        """``module.py`` or the package of that name."""
        module = handler.rpartition(".")[0].replace(".", "/")
        names = (f"{module}.py", f"{module}/__init__.py") if module else ()
        return next((folder / each for each in names if (folder / each).is_file()), None)

    def command(self, folder: Path) -> tuple[str, ...]:
        """Our client by its path; also under ``-I`` the handler gets its ``PYTHONPATH``."""
        return (str(self.interpreter), "-B", str(client_path(CLIENT)))

    def is_source(self, path: Path, folder: Path) -> bool:
        """Data that a handler writes beside its code is none."""
        return path.name.endswith(_SUFFIXES) or path.name in _NAMES

    @property
    def debugger(self) -> str:
        """The package that is imported into the handler's process."""
        return "debugpy"

    def check_debugger(self) -> None:
        """Whether the interpreter has debugpy.

        Raises:
            EnvironmentLacks: it has not.
        """
        argv = [str(self.interpreter), "-c", "import debugpy"]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=_IMPORT_BUDGET, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            raise EnvironmentLacks(f"{self.interpreter} does not run: {error}") from error
        if done.returncode != 0:
            raise EnvironmentLacks(
                f"debugpy is not installed for {self.interpreter}",
                hint=f"{self.interpreter} -m pip install debugpy",
            )

    def remark(self) -> str:
        """Another version than the one that was asked for, as far as that is plain to see."""
        wanted, here = self.name.removeprefix("python"), _version(self.interpreter)
        if not wanted or not here or here == wanted:
            return ""
        return f"{self.name} is not installed here: your code runs with Python {here}"


def find_program(program: Path) -> Path:
    """The path of a program that is named by path or looked for on the ``PATH``.

    Raises:
        EnvironmentLacks: it is not there.
    """
    found = shutil.which(program)
    if found is None:
        raise EnvironmentLacks(
            f"{program}: no such program",
            hint='name the function\'s interpreter by its path: interpreter = "…"',
        )
    return Path(found).absolute()


def _environment_of(folder: Path) -> Path | None:
    """The interpreter of the virtual environment that belongs to a folder."""
    for place in (folder, *folder.parents):
        for name in _ENVIRONMENTS:
            python = place / name / "bin/python"
            if (place / name / "pyvenv.cfg").is_file() and python.exists():
                return python
        if (place / ".git").exists():
            break
    return None


def _installed(name: str) -> Path | None:
    """The interpreter of a version that is not this process's own."""
    if name in ("python", f"python3.{sys.version_info.minor}"):
        return None
    found = shutil.which(name)
    return Path(found) if found else None


def _version(python: Path | None) -> str:
    """``3.12``; empty when it cannot be told without running it."""
    if python is None:
        return ""
    if python == Path(sys.executable):
        return f"3.{sys.version_info.minor}"
    if python.name.startswith("python3."):
        return python.name.removeprefix("python")
    try:
        lines = (python.parents[1] / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    values = {key.strip(): value.strip() for key, _, value in (s.partition("=") for s in lines)}
    version = values.get("version") or values.get("version_info") or ""
    return ".".join(version.split(".")[:2])
