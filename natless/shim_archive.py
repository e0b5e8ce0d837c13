"""Builds the guest as one file, ``natless-shim.pyz``, to be started with ``python -I``.

The archive holds ``runtime_shim``, ``event_protocol`` and the pure-Python part of ``websockets``,
each module as source and compiled for the interpreter that builds it: an interpreter of another
version finds its own bytecode missing and reads the source. Nothing of it is imported here, for
rooms start each other as processes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from natless.errors import ComponentFailed

NAME = "natless-shim.pyz"
FORMAT = b"2"  # part of the cache key: raise it when the layout of the archive changes
_MAIN = b"from runtime_shim.__main__ import main\n\nmain()\n"
_PACKAGES = ("event_protocol", "runtime_shim", "websockets")
# Parts of websockets that nobody in the guest uses: its other ways to do I/O.
_LEFT_OUT = {"legacy", "trio", "sync", "asyncio", "cli.py", "__main__.py", "__pycache__"}
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip file knows


@dataclass(frozen=True, slots=True)
class _Source:
    """One file of the archive: its name there, and what it holds."""

    name: str
    path: Path


def shim_archive(directory: Path | None = None) -> Path:
    """The archive, built now or taken from the cache, for the sources as they are.

    Args:
        directory: where it is kept; by default the user's cache directory. Each state of the
            sources has a folder of its own, so that two checkouts do not disturb each other.

    Returns:
        The path of a file called ``natless-shim.pyz``. Equal sources give equal bytes.

    Raises:
        ComponentFailed: the directory cannot be written.
    """
    sources = list(_sources())
    root = _cache_directory() if directory is None else directory
    path = root / _fingerprint(sources) / NAME
    if not path.is_file():
        try:
            write_atomically(path, _build(sources))
        except OSError as error:
            raise ComponentFailed(
                f"cannot write {path}: {error.strerror}",
                hint="set XDG_CACHE_HOME to a directory that you may write to",
            ) from error
    return path


def python_runtime_path() -> Path:
    """The Python runtime client, which runs a handler with any interpreter, by its path."""
    return _package_directory("runtime_shim") / "python_runtime.py"


def _package_directory(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ComponentFailed(
            f"the package {name} is not installed", hint="install natless again, with its parts"
        )
    return Path(spec.submodule_search_locations[0])


def _sources() -> Iterator[_Source]:
    for package in _PACKAGES:
        directory = _package_directory(package)
        skipped = _LEFT_OUT if package == "websockets" else {"__pycache__"}
        for path in sorted(directory.rglob("*.py")):
            inside = path.relative_to(directory)
            if not skipped & set(inside.parts):
                yield _Source(f"{package}/{inside.as_posix()}", path)


def _fingerprint(sources: list[_Source]) -> str:
    digest = hashlib.sha256(FORMAT + importlib.util.MAGIC_NUMBER + _MAIN)
    for source in sources:
        content = source.path.read_bytes()
        digest.update(f"{source.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:20]


def _build(sources: list[_Source]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "__main__.py", _MAIN)
        for source in sources:
            content = source.path.read_bytes()
            _add(archive, source.name, content)
            _add(archive, source.name + "c", _compile(content, source.name))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Bytecode is stored as it is, for it is read at every start; source is compressed."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3  # not of the system that happens to build it: equal bytes
    entry.external_attr = 0o644 << 16
    is_source = name.endswith(".py")
    entry.compress_type = zipfile.ZIP_DEFLATED if is_source else zipfile.ZIP_STORED
    archive.writestr(entry, content)


def _compile(source: bytes, name: str) -> bytes:
    """Bytecode that is valid without a look at its source (PEP 552, unchecked): equal bytes.

    The frames of a traceback name the file as it is in the archive.
    """
    code = compile(source, f"{NAME}/{name}", "exec", dont_inherit=True, optimize=0)
    flags = (0b01).to_bytes(4, "little")
    return (
        importlib.util.MAGIC_NUMBER
        + flags
        + importlib.util.source_hash(source)
        + marshal.dumps(code)
    )


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "natless" / "shim"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all, with its directories.

    Two processes may build at once: each writes a file of its own, the last rename stands.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{NAME}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
