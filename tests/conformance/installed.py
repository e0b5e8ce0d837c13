"""Real clients, fetched from their registries into a cache outside the tree, once per version."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FETCH_BUDGET = 300.0  # seconds for one client's packages


def cache() -> Path:
    """Where fetched clients live."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "natless-conformance"


def node_clients() -> Path:
    """A folder whose ``node_modules`` holds the packages of ``node/package-lock.json``."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    sources = [HERE / "node" / name for name in ("package.json", "package-lock.json")]

    def fetch(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return _once("node", sources, fetch)


def node_runtime_client() -> Path:
    """A folder whose ``node_modules`` holds AWS's runtime client for Node.js and a Node.js for it.

    The client is built when it is installed, in two minutes: it has a part in C++.
    """
    for program in ("npm", "cmake", "make", "c++"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed, which aws-lambda-ric is built with")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the Node.js that is fetched for it is one for Linux on x86-64")
    sources = [HERE / "node-ric" / name for name in ("package.json", "package-lock.json")]

    def fetch(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder)
        _run(["npm", "ci", "--no-audit", "--no-fund"], folder)

    return _once("node-ric", sources, fetch)


def node_esbuild() -> Path:
    """A folder whose ``node_modules`` holds esbuild; its program is a file of the package."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    sources = [HERE / "node-esbuild" / name for name in ("package.json", "package-lock.json")]

    def fetch(folder: Path) -> None:
        for source in sources:
            shutil.copy(source, folder)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return _once("node-esbuild", sources, fetch)


def python_client(name: str, *, python: str) -> Path:
    """The interpreter of an environment that holds ``python/<name>.lock``."""
    lock = HERE / "python" / f"{name}.lock"

    def fetch(folder: Path) -> None:
        _run([python, "-m", "venv", str(folder / "venv")], folder)
        pip = [str(folder / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "-q", "--require-hashes", "--no-deps", "-r", str(lock)], folder)

    return _once(name, [lock], fetch) / "venv/bin/python"


def python_at_least(minor: int) -> str:
    """The newest Python 3 from that minor version on.

    Looked for on the path and where pyenv keeps its versions.
    """
    found = {f"3.{sys.version_info.minor}": sys.executable}
    for number in range(minor, 20):
        for path in sorted((Path.home() / ".pyenv/versions").glob(f"3.{number}.*/bin/python")):
            found[f"3.{number}"] = str(path)
        if (on_path := shutil.which(f"python3.{number}")) and "shims" not in on_path:
            found[f"3.{number}"] = on_path
    fitting = {name: path for name, path in found.items() if int(name[2:]) >= minor}
    if not fitting:
        pytest.skip(f"no Python 3.{minor} or newer on this machine")
    return min(fitting.items(), key=lambda item: int(item[0][2:]))[1]


def derived(name: str, source: Path, make: Callable[[Path], bytes]) -> Path:
    """A program taken out of a fetched file, kept beside it in the cache."""

    def fetch(folder: Path) -> None:
        (folder / name).write_bytes(make(source))
        (folder / name).chmod(0o755)

    return _once(name, [source], fetch) / name


def _once(name: str, sources: list[Path], fetch: Callable[[Path], None]) -> Path:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    target = cache() / f"{name}-{digest.hexdigest()[:16]}"
    with _locked(cache() / f"{name}.lock"):
        if not target.exists():
            made = Path(tempfile.mkdtemp(dir=cache(), prefix=f"{name}-new-"))
            try:
                fetch(made)
                # Scripts of a Python environment name its folder: rename it, and they still work
                # through `python -m`, which is the only way they are used here.
                made.rename(target)
            except subprocess.CalledProcessError as error:
                shutil.rmtree(made)
                said = (error.stderr or error.stdout or "").strip().splitlines()[-3:]
                pytest.skip(f"{name}: the registry did not give it: {' / '.join(said)}")
            except subprocess.TimeoutExpired:
                shutil.rmtree(made)
                pytest.skip(f"{name}: the registry gave nothing for {FETCH_BUDGET:.0f} s")
    return target


def _run(argv: list[str], folder: Path) -> None:
    subprocess.run(
        argv, cwd=folder, check=True, capture_output=True, text=True, timeout=FETCH_BUDGET
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def node_script(name: str, clients: Path, directory: Path) -> list[str]:
    """The command line of a client script of ours, laid where it finds the packages.

    Node looks for packages beside the script, and ours lies in the tree: it gets a folder with a
    link to both.
    """
    for script in (HERE / "node").glob("*.mjs"):
        shutil.copy(script, directory)
    (directory / "node_modules").symlink_to(clients / "node_modules")
    # Node 20 has its own WebSocket behind this flag; from 22 on it is there and the flag is taken.
    return ["node", "--experimental-websocket", str(directory / f"{name}.mjs")]
