"""What AWS would have: a copy of a function's folder as it is now."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from natless.runtimes import Code, Family
from natless.runtimes.node import find_packages

_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*", "node_modules")


def deploy(code: Code, target: Path) -> Code:
    """Copies the code's folder, without hidden files and caches; the code as it is there.

    Node's packages are linked and not copied: they are many and nobody edits them. They are those
    that the code itself would see, also from a folder above its own.
    """
    shutil.copytree(code.folder, target, ignore=_NOT_COPIED, ignore_dangling_symlinks=True)
    if code.runtime.family is Family.NODE and (packages := find_packages(code.folder)) is not None:
        (target / "node_modules").symlink_to(packages)
    return replace(code, folder=target, source=target / code.source.relative_to(code.folder))
