"""The two files that other images need to take part: the guest, and the function's agent.

``natless-agent.pyz`` holds what an agent without powers needs, which is standard library only; so
the function's container may be any image that has Python 3.11 or newer, unchanged.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from natless.shim_archive import shim_archive

AGENT = "natless-agent.pyz"

_ROOT = Path(__file__).resolve().parents[2]
_FILES = (
    "event_protocol/__init__.py",
    "event_protocol/phases.py",
    "natless/__init__.py",
    "natless/errors.py",
    "natless/container/__init__.py",
    "natless/container/__main__.py",
    "natless/container/agent.py",
    "natless/container/duties.py",
    "natless/container/shared.py",
    "natless/vpc/__init__.py",
    "natless/vpc/docker_seats.py",
    "natless/vpc/kernel.py",
    "natless/vpc/launch.py",
    "natless/vpc/model.py",
    "natless/vpc/network.py",
    "natless/vpc/plan.py",
    "natless/vpc/rules.py",
    "natless/vpc/servants.py",
    "natless/vpc/tcp_table.py",
    "natless/vpc/wire.py",
    "natless/vpc/zone.py",
)
_MAIN = "import sys\nfrom natless.container.__main__ import main\n\nsys.exit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip file knows


def build_agent() -> bytes:
    """The agent as one file for ``python -I``; equal sources give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _contents():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()


def _contents() -> Iterator[tuple[str, str]]:
    yield "__main__.py", _MAIN
    for name in _FILES:
        yield name, (_ROOT / name).read_text(encoding="utf-8")


def main() -> None:
    """Writes both files into a folder."""
    target = Path(sys.argv[1])
    (target / AGENT).write_bytes(build_agent())
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(shim_archive(Path(scratch)), target)


if __name__ == "__main__":
    main()
