"""Words for the values of options in the help: ``--port N``, and none for a switch.

Otherwise typer writes Python's names there, such as ``<list[str]>``, and ``<bool>`` after a switch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_WORDS = {
    "bool": "",
    "int": "N",
    "int range": "N",
    "float": "X",
    "float range": "X",
    "path": "PATH",
    "str": "TEXT",
    "list[str]": "TEXT",
}


def name_values(command: Any) -> Any:  # noqa: ANN401  the classes of commands are typer's own
    """Gives every option of a command, and of those below it, a word; returns the command."""
    for each in _walk(command):
        for parameter in each.params:
            describe = getattr(parameter, "display_type", None)  # older versions have no such names
            if describe is None or parameter.metavar is not None or _is_argument(parameter):
                continue
            word = (
                _WORDS.get(str(describe(None)).strip("<>")) if not _is_choice(parameter) else None
            )
            if word is not None:
                parameter.metavar = word
    return command


def _walk(command: Any) -> Iterator[Any]:  # noqa: ANN401
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from _walk(child)


def _is_argument(parameter: Any) -> bool:  # noqa: ANN401
    return bool(parameter.param_type_name == "argument")


def _is_choice(parameter: Any) -> bool:  # noqa: ANN401
    return bool(getattr(getattr(parameter, "type_descriptor", None), "is_choice", False))
