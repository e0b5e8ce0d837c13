"""A function's code: where it is, and what AWS would have, a copy of the folder as it is now."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from natless.errors import UsageError
from natless.runtimes import Code, Family, find_code
from natless.runtimes.node import find_packages
from natless.settings import FunctionSettings

_NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*", "node_modules")


def locate(function: FunctionSettings) -> Code:
    """Where the function's code is, and what runs it.

    Raises:
        UsageError: the folder or the handler's file is not there; says what was looked for.
        EnvironmentLacks: this machine lacks what the handler needs.
    """
    return find_code(
        function.folder,
        function.handler,
        runtime=function.runtime,
        interpreter=function.interpreter,
    )


def deploy(code: Code, target: Path) -> Code:
    """Copies the code's folder, without hidden files and caches; the code as it is there.

    Node's packages are linked and not copied: they are many and nobody edits them. They are those
    that the code itself would see, also from a folder above its own.

    Raises:
        UsageError: something in the folder cannot be copied.
    """
    own = {str(place) for place in (target.resolve(), *target.resolve().parents)}

    def ignore(folder: str, names: list[str]) -> set[str]:
        # What this run makes may lie in the folder, and must not be copied into itself.
        ours = {name for name in names if os.path.join(folder, name) in own}  # noqa: PTH118
        return {*_NOT_COPIED(folder, names)} | ours

    try:
        shutil.copytree(code.folder, target, ignore=ignore, ignore_dangling_symlinks=True)
    except (shutil.Error, OSError) as error:
        raise UsageError(
            f"{code.folder} cannot be deployed: {_first_reason(error)}",
            hint="keep the handler's code in a folder of its own, readable for you",
        ) from error
    if code.runtime.family is Family.NODE and (packages := find_packages(code.folder)) is not None:
        (target / "node_modules").symlink_to(packages)
    return replace(code, folder=target, source=target / code.source.relative_to(code.folder))


def _first_reason(error: OSError) -> str:
    """One reason; ``copytree`` gathers one for each file."""
    reasons = error.args[0] if isinstance(error, shutil.Error) else None
    if isinstance(reasons, list) and reasons:
        return str(reasons[0][-1])[:300]
    return str(error)[:300]
