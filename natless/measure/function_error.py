r"""The error that a function answered with, in so few lines that they fit under a verdict.

The payload is the one that Lambda's runtimes give a caller (AWS Lambda developer guide, "Python
handler errors", "Node.js handler errors")::

    {"errorType": "ValueError", "errorMessage": "no price",
     "stackTrace": ["  File \"/var/task/app.py\", line 3, in charge\n    raise ValueError(…)\n"]}

Of the trace only what the developer wrote is kept, relative to the function's folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from event_protocol.handshake import redact

MESSAGE_LENGTH = 300  # characters of the message
LINE_LENGTH = 160  # characters of one line of the trace
KEPT_FRAMES = 4  # the nearest to the error

_LOOKED_AT = 10 * MESSAGE_LENGTH

TIMED_OUT = "Sandbox.Timedout"
UNKNOWN = "Unknown"

_PYTHON_FRAME = re.compile(
    r'^\s*File "(?P<path>[^"]+)",? [Ll]ine (?P<line>\d+)(?:, in (?P<name>.+))?'
)
_NODE_FRAME = re.compile(
    r"^\s*at (?:(?P<name>.+?) \()?(?:file://)?(?P<path>/[^():]+):(?P<line>\d+)(?::\d+)?\)?\s*$"
)
_FOREIGN = frozenset({"site-packages", "dist-packages", "node_modules"})
_CREDENTIALS = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # access key ids
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user and password of a URL
)
_NAME = r"(?i:password|passwd|secret|token|api_?key)"
_NAMED = re.compile(
    rf"({_NAME}=)[^\s&;,'\"]{{4,}}"  # of a connection string or a query
    rf"|({_NAME}['\"]?\s*[:=]\s*['\"])[^'\"]{{4,}}(?=['\"])"  # a literal in code or JSON
)

Mask = Callable[[str], str]
"""Blots secrets out of a text."""


def blot(text: str, *, mask: Mask | None = None) -> str:
    """A text without what looks like a credential, and without what ``mask`` knows besides."""
    text = _CREDENTIALS.sub("***", redact(mask(text) if mask else text))
    return _NAMED.sub(lambda found: f"{found[1] or found[2]}***", text)


@dataclass(frozen=True, slots=True)
class FunctionError:
    """What a function, or Lambda in its place, answered as an error.

    Attributes:
        error_type: ``errorType``: an exception's name, or one of Lambda's own.
        message: ``errorMessage``, cut.
        trace: ``file:line in function: source`` of the developer's own files, the last being the
            nearest to the error.
    """

    error_type: str
    message: str = ""
    trace: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls, payload: bytes, *, folders: Sequence[Path] = (), mask: Mask | None = None
    ) -> FunctionError:
        """Reads the payload of a reply that is marked as an error, whatever it is.

        Args:
            payload: of the reply.
            folders: where the developer's code lies, here and as it was deployed; files in them
                are their own.
            mask: blots out further secrets than those that look like one.
        """
        try:
            body = json.loads(payload)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return cls(UNKNOWN)
        message = str(body.get("errorMessage") or "")
        # Lambda's own timeout has carried no errorType for years, only this text.
        timed_out = "Task timed out" in message
        error_type = TIMED_OUT if timed_out else str(body.get("errorType", UNKNOWN))

        def clean(text: str) -> str:
            # Enough for what is kept of it: an answer may have 6 MB.
            return blot(text[:_LOOKED_AT], mask=mask)

        frames = [*_read_frames(body, folders)][-KEPT_FRAMES:]
        return cls(
            error_type[:LINE_LENGTH],
            _cut(clean(message), MESSAGE_LENGTH),
            tuple(_cut(clean(frame), LINE_LENGTH) for frame in frames),
        )


def _read_frames(body: Mapping[str, Any], folders: Sequence[Path]) -> Iterator[str]:
    """The developer's own frames, from the handler to the error."""
    lines, is_python = body.get("stackTrace"), True
    if not lines:
        lines, is_python = body.get("stack") or body.get("trace") or (), False
    if not isinstance(lines, list):
        return
    roots = [str(folder).rstrip("/") + "/" for folder in folders]
    texts = [str(line)[:_LOOKED_AT] for line in lines]
    found = [(match, text) for text in texts if (match := _match(text, is_python))]
    for match, line in found if is_python else reversed(found):
        path = match["path"]
        root = next((root for root in roots if path.startswith(root)), None)
        if root is None or _FOREIGN & {*PurePosixPath(path).parts}:
            continue
        name = f" in {match['name']}" if match["name"] else ""
        code = line.partition("\n")[2].strip().partition("\n")[0].strip() if is_python else ""
        yield f"{path.removeprefix(root)}:{match['line']}{name}" + (f": {code}" if code else "")


def _match(line: str, is_python: bool) -> re.Match[str] | None:
    return (_PYTHON_FRAME if is_python else _NODE_FRAME).match(line)


def _cut(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
