"""Finds the runtime of a function: by its name, or by what lies in the folder."""

from __future__ import annotations

import re
from pathlib import Path

from natless.errors import UsageError
from natless.runtimes.base import Code, Family, Runtime
from natless.runtimes.node import NodeRuntime
from natless.runtimes.provided import BOOTSTRAP, ProvidedRuntime
from natless.runtimes.python import PythonRuntime

AUTO = "auto"
RUNTIMES = r"^(auto|python(3\.\d+)?|nodejs(\d+\.x)?|provided(\.al2(023)?)?)$"
"""What a function's ``runtime`` may be."""

_CLASSES: dict[Family, type[Runtime]] = {
    Family.PYTHON: PythonRuntime,
    Family.NODE: NodeRuntime,
    Family.PROVIDED: ProvidedRuntime,
}
_LOOKED_FOR = {
    Family.PYTHON: "{module}.py",
    Family.NODE: "{module}.mjs, .js, .cjs or .ts",
    Family.PROVIDED: BOOTSTRAP,
}
_COMMON = ("handler.handler", "index.handler", "app.handler", "main.handler")
_CONSOLE = "lambda_function.lambda_handler"  # what the AWS console makes for Python


def find_code(
    folder: Path, handler: str, *, runtime: str = AUTO, interpreter: Path | None = None
) -> Code:
    """A function's code, with the runtime that can run it.

    Args:
        folder: where it is.
        handler: ``module.function``.
        runtime: its name, or ``auto`` to decide by the file that is there: Python before Node.js
            before a bootstrap.
        interpreter: a program to run it with, in place of the one that would be found.

    Raises:
        UsageError: the folder or the handler's file is not there; says what was looked for.
        EnvironmentLacks: this machine lacks what the handler needs.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise UsageError(
            f"{folder}: {what}",
            hint="name the folder with your handler, and the handler: FOLDER --handler"
            " module.function",
        )
    if handler.startswith((".", "/")) or "/." in handler:
        raise UsageError(
            f"the handler {handler!r} leaves the folder {folder}",
            hint="name the folder that holds it, and --handler module.function as seen from there",
        )
    folder = folder.resolve()
    families = tuple(Family) if runtime == AUTO else (family_of(runtime),)
    for family in families:
        if (source := _CLASSES[family].find_source(folder, handler)) is None:
            continue
        name = family.value if runtime == AUTO else runtime
        found = choose_runtime(name, folder, interpreter=interpreter)
        found.check(source)
        return Code(folder, handler, found, source)
    raise _not_found(folder, handler, families)


def choose_runtime(name: str, folder: Path, *, interpreter: Path | None = None) -> Runtime:
    """The runtime of that name, for code in ``folder``.

    Raises:
        EnvironmentLacks: there is no interpreter for it.
    """
    family = family_of(name)
    if family is Family.PYTHON:
        return PythonRuntime.for_folder(name, folder, interpreter=interpreter)
    if family is Family.NODE:
        return NodeRuntime.for_folder(name, interpreter=interpreter)
    return ProvidedRuntime(name, None)


def family_of(name: str) -> Family:
    """The language of a runtime's name, such as ``nodejs20.x``.

    Raises:
        UsageError: nobody knows it.
    """
    for family in Family:
        if re.match(RUNTIMES, name) and name.startswith(family.value):
            return family
    raise UsageError(
        f"{name!r} is no runtime that runs here",
        hint="python3.N, nodejsN.x or provided.al2023: any language with a bootstrap of its own",
    )


def name_handler(place: Path, runtime: str = AUTO) -> tuple[Path, str] | None:
    """The folder and the handler that a path means when nobody named a handler.

    A file means itself, with the function ``handler``. A folder means the handler that one has by
    default: in AWS's examples, in its console, or in this project; one of the runtime's language,
    if a runtime is named.

    Returns:
        None when the folder has none of them.
    """
    if place.is_file():
        name = "lambda_handler" if place.name == "lambda_function.py" else "handler"
        return place.parent, f"{place.name.partition('.')[0]}.{name}"
    families = tuple(Family) if runtime == AUTO else (family_of(runtime),)
    for handler in (*_COMMON, _CONSOLE):
        if any(_CLASSES[each].find_source(place, handler) for each in families):
            return place, handler
    return None


def _not_found(folder: Path, handler: str, families: tuple[Family, ...]) -> UsageError:
    module = handler.rpartition(".")[0].replace(".", "/") or handler
    wanted = " and no ".join(_LOOKED_FOR[family].format(module=module) for family in families)
    suffixes = (".py", ".mjs", ".js", ".cjs", ".ts")
    there = sorted({path.stem for path in folder.iterdir() if path.suffix in suffixes})[:5]
    return UsageError(
        f"{folder} has no {wanted} for the handler {handler!r}",
        hint="--handler is module.function, as in Lambda's settings"
        + (f"; here is {', '.join(there)}" if there else ""),
    )
