"""How a function's log line is shown: without what the screen says anyway.

Lambda's runtimes put time, request id and level before each record (AWS Lambda developer guide,
"Log and monitor Node.js Lambda functions"). Below a call that is named, the level becomes a colour
and the rest is left out; a record of several lines is shown as such.
"""

from __future__ import annotations

import json
import re

from rich.text import Text

_NODE = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z\t[\w-]+\t(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\t(.*)", re.DOTALL
)
_PYTHON = re.compile(
    r"\[(DEBUG|INFO|WARNING|ERROR|CRITICAL)\]\t\d{4}-\d\d-\d\dT[\d:.]+Z\t[\w-]*\t(.*)", re.DOTALL
)
_THROWN = re.compile(r"(?:Invoke Error|Uncaught Exception|Unhandled Promise Rejection) \t(\{.*)")
_STYLES = {
    "TRACE": "dim",
    "DEBUG": "dim",
    "INFO": "",
    "WARN": "yellow",
    "WARNING": "yellow",
    "ERROR": "red",
    "FATAL": "red",
    "CRITICAL": "red",
}


def show_line(line: str, *, is_stderr: bool = False, is_dim: bool = False) -> list[Text]:
    """The rows that a line becomes, at least one.

    Args:
        line: as the function wrote it; carriage returns stand for line breaks.
        is_stderr: whether it was written to standard error.
        is_dim: whether it shall stay in the background, whatever it says.
    """
    style = "red" if is_stderr else ""
    record = _NODE.fullmatch(line) or _PYTHON.fullmatch(line)
    if record is not None:
        style, line = _STYLES[record[1]], record[2]
        if (thrown := _THROWN.fullmatch(line)) is not None:
            line = _show_thrown(thrown[1])
    rows = line.replace("\r", "\n").rstrip("\n").split("\n")
    return [Text(row, style="dim" if is_dim else style) for row in rows]


def _show_thrown(text: str) -> str:
    """What Node.js logs of an error, as JSON, as it would print it."""
    try:
        said = json.loads(text)
        stack = [str(row) for row in said["stack"]]
    except (ValueError, KeyError, TypeError):
        return text
    return "\n".join(stack) or f"{said.get('errorType')}: {said.get('errorMessage')}"
