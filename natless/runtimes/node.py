"""Node handlers: ESM, CommonJS and TypeScript, by our own runtime client."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from natless.errors import EnvironmentLacks
from natless.runtimes.base import Family, Runtime, client_path

CLIENT = "node_runtime.mjs"
OLDEST = 18

SCRIPTS = (".mjs", ".js", ".cjs")
TYPED = (".ts", ".mts", ".cts", ".tsx")
_NAMES = ("package.json", "tsconfig.json")
_VERSION_BUDGET = 10.0  # seconds for `node --version`


class NodeRuntime(Runtime):
    """Node.js."""

    family = Family.NODE

    @classmethod
    def for_folder(cls, name: str, *, interpreter: Path | None) -> NodeRuntime:
        """The runtime with the named interpreter, or with the ``node`` of the ``PATH``.

        Raises:
            EnvironmentLacks: there is none.
        """
        found = shutil.which(interpreter or "node")
        if found is None:
            raise EnvironmentLacks(
                f"{interpreter or 'node'}: no such program, and the handler is one for Node.js",
                hint=f'install Node.js {OLDEST} or later, or name it: interpreter = "…"',
            )
        return cls(name, Path(found).absolute())

    @staticmethod
    def find_source(folder: Path, handler: str) -> Path | None:
        """The module's file. TypeScript comes first: it is what is edited.

        As on Lambda the module's name ends at the first dot behind the last slash.
        """
        match = re.fullmatch(r"((?:.*/)?[^./]+)\..+", handler)
        if match is None:
            return None
        files = (folder / f"{match[1]}{suffix}" for suffix in (*TYPED, *SCRIPTS))
        return next((each for each in files if each.is_file()), None)

    def command(self, folder: Path) -> tuple[str, ...]:
        """Our client by its path."""
        return (str(self.interpreter), str(client_path(CLIENT)))

    def is_source(self, path: Path, folder: Path) -> bool:
        """Scripts and what says how to read them; other JSON may be a handler's own data."""
        return path.suffix in (*SCRIPTS, *TYPED, ".jsx") or path.name in _NAMES

    def check(self, source: Path) -> None:
        """Whether Node is new enough, and what TypeScript needs is there.

        Raises:
            EnvironmentLacks: it is not; says how to get it.
        """
        version = node_version(self.interpreter)
        if version and version[0] < OLDEST:
            raise EnvironmentLacks(
                f"{self.interpreter} is Node.js {'.'.join(map(str, version))}, which is too old",
                hint=f"install Node.js {OLDEST} or later",
            )
        if source.suffix in TYPED and version < (22, 18) and find_esbuild(source.parent) is None:
            raise EnvironmentLacks(
                f"{source.name} is TypeScript, and there is no esbuild to read it",
                hint="npm install --save-dev esbuild, or run Node.js 22.18 or later",
            )

    @property
    def debugger(self) -> str:
        """Node.js's own."""
        return "Node.js inspector"

    def remark(self) -> str:
        """Another major version than the one that was asked for."""
        wanted = re.fullmatch(r"nodejs(\d+)\.x", self.name)
        version = node_version(self.interpreter)
        if wanted is None or not version or int(wanted[1]) == version[0]:
            return ""
        return f"{self.name} is not installed here: your code runs with Node.js {version[0]}"


def find_esbuild(folder: Path) -> Path | None:
    """The developer's esbuild: the one of the project, else the one on the ``PATH``."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    own = f"@esbuild/{platform.system().lower()}-{machine}/bin/esbuild"
    for place in (folder, *folder.parents):
        for name in (own, ".bin/esbuild"):
            if (place / "node_modules" / name).is_file():
                return place / "node_modules" / name
    found = shutil.which("esbuild")
    return Path(found) if found else None


def find_packages(folder: Path) -> Path | None:
    """The ``node_modules`` that modules in ``folder`` see first."""
    places = (place / "node_modules" for place in (folder, *folder.parents))
    return next((each for each in places if each.is_dir()), None)


@lru_cache
def node_version(node: Path | None) -> tuple[int, ...]:
    """``(20, 20, 2)``; nothing when it does not say."""
    if node is None:
        return ()
    try:
        said = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=_VERSION_BUDGET, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:3])
