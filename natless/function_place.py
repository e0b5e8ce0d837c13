"""Which function is meant where somebody names a place: a folder, or the handler's own file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from natless.runtimes.catalogue import name_handler
from natless.settings import FunctionSettings


def read_place(function: Mapping[str, Any]) -> dict[str, Any]:
    """A file in place of the folder means its folder and its function ``handler``.

    Args:
        function: ``folder``, a path or None, and ``handler``, among others as in the settings.
    """
    said, place = dict(function), function.get("folder")
    if place is None or not place.is_file():
        return said
    named = name_handler(place)
    folder, handler = named if named is not None else (place.parent, None)
    return {**said, "folder": folder, "handler": said.get("handler") or handler}


def find_handler(function: FunctionSettings) -> FunctionSettings:
    """A function whose handler nobody named has the one that its folder has."""
    if "handler" in function.model_fields_set or not function.folder.is_dir():
        return function
    named = name_handler(function.folder, function.runtime)
    return function if named is None else function.model_copy(update={"handler": named[1]})
