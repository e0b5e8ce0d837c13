"""What real clients and the relay said to each other, as lines that stay the same.

One JSON object a line, in the order observed, over all connections of one run::

    {"connection":1,"from":"client","request":"GET /event/realtime HTTP/1.1","headers":[…]}
    {"connection":1,"from":"relay","response":"HTTP/1.1 101 Switching Protocols","headers":[…]}
    {"connection":1,"from":"client","text":"{\\"type\\":\\"connection_init\\"}"}
    {"connection":1,"from":"relay","close":1000,"reason":""}
    {"relay":"stops"}  …  {"relay":"starts"}                  one drains, then another one begins

Texts are kept to the character: key order, white space, a line feed at the end. What differs from
run to run (secrets, ids, dates) stands as a placeholder, ``<uuid-3>``: the same value has the same
number everywhere, so a replay can tell that an id came back. Base64 that carries credentials stands
open: ``header-base64({"host":…})``.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.golden.signing import find_signed, sign
from tests.golden.wire import Close, Head, Message, Text

Line = dict[str, Any]

# Headers that tell of a machine, a moment or the transport, not of the channel.
VOLATILE = frozenset(
    {"date", "server", "content-length", "connection", "keep-alive", "sec-websocket-key"}
    | {"sec-websocket-accept", "user-agent", "accept-encoding", "transfer-encoding"}
    | {"amz-sdk-request", "accept-language", "sec-fetch-mode", "sec-websocket-extensions"}
)
# What is numbered, in order of appearance; the group is the value.
NUMBERED: Mapping[str, re.Pattern[str]] = {
    "uuid": re.compile(r"\b([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"),
    "api-id": re.compile(r"\b(?:apis/|apiId\\?\":\s?\\?\")([0-9A-Za-z_-]{26})\b"),
    "key": re.compile(r"\b(da2-[a-z0-9]{26})\b"),
    "label": re.compile(r"\b([a-z0-9]{26})\.appsync-(?:realtime-)?api\."),
    "id": re.compile(r"\b([0-9a-f]{24})\b"),
}
# What is the same wherever it stands: filled in anew by whoever replays.
CONSTANT: Mapping[str, re.Pattern[str]] = {
    "epoch": re.compile(r"\"(?:created|expires|deletes|lastModified)\":\s?(\d{10}(?:\.\d+)?)"),
    "date": re.compile(r"\b(\d{8}T\d{6}Z)\b"),
    "day": re.compile(r"Credential=[^/]+/(\d{8})/"),
    "signature": re.compile(r"Signature=([0-9a-f]{64})"),
    "body-sha256": re.compile(r"x-amz-content-sha256(?:\\?\":\s?\\?\"|: )([0-9a-f]{64})"),
    "jwt": re.compile(r"\b(eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"),
}
SHAPES: Mapping[str, str] = {
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "api-id": r"[0-9A-Za-z_-]{26}",
    "key": r"da2-[a-z0-9]{26}",
    "label": r"[a-z0-9]{26}",
    "id": r"[0-9a-f]{24}",
}
_LOCAL = re.compile(r"^localhost:\d+$")  # a port that was free at the time
PLACEHOLDER = re.compile(rf"<((?:{'|'.join(NUMBERED)})-\d+|api-key|{'|'.join(CONSTANT)})>")

_TOKENS = (  # where credentials travel as base64: how it is found, how it stands when open
    (
        re.compile(r"(header-)([A-Za-z0-9_-]{8,})"),
        re.compile(r"(header-)base64\((.*)\)", re.DOTALL),
    ),
    (
        re.compile(r"([?&]header=)([A-Za-z0-9+/=%_-]{8,})"),
        re.compile(r"([?&]header=)base64\((.*)\)(?=&payload=)"),
    ),
)


def open_tokens(text: str) -> str:
    """Base64 of credentials as the JSON that it holds."""

    def opened(found: re.Match[str]) -> str:
        padded = found[2].replace("-", "+").replace("_", "/").rstrip("=")
        return f"{found[1]}base64({base64.b64decode(padded + '=' * (-len(padded) % 4)).decode()})"

    for closed, _ in _TOKENS:
        text = closed.sub(opened, text)
    return text


def close_tokens(text: str) -> str:
    """The reverse of :func:`open_tokens`."""
    subprotocol, query = (opened for _, opened in _TOKENS)
    text = subprotocol.sub(
        lambda m: m[1] + base64.urlsafe_b64encode(m[2].encode()).decode().rstrip("="), text
    )
    return query.sub(lambda m: m[1] + base64.b64encode(m[2].encode()).decode(), text)


@dataclass(slots=True)
class Transcript:
    """Lines of one run, written as they are observed.

    Attributes:
        known: values given in advance, value to placeholder name; a throw-away API key is one.
        secret: tells a right signature from a wrong one.
        kept: values that look like something numbered and are the same every time.
    """

    known: dict[str, str] = field(default_factory=dict)
    secret: str = ""
    kept: frozenset[str] = frozenset()
    lines: list[Line] = field(default_factory=list)

    def observe(self, connection: int, origin: str, message: Message) -> None:
        """Writes one message down; ``origin`` is ``client`` or ``relay``."""
        line: Line = {"connection": connection, "from": origin}
        match message:
            case Head():
                line["request" if origin == "client" else "response"] = message.first
                dropped = VOLATILE - _signed(message)
                line["headers"] = [
                    f"{name}: {_LOCAL.sub('localhost', value)}"
                    for name, value in message.headers
                    if name not in dropped
                ]
                if message.body:
                    line["body"] = message.body
            case Text():
                line["text"] = message.text
            case Close():
                line |= {"close": message.code, "reason": message.reason}
        self.lines.append(line)

    def note(self, what: str) -> None:
        """Writes down what happened to the relay itself, ``stops`` or ``starts``."""
        self.lines.append({"relay": what})

    def settled(self) -> list[Line]:
        """The lines with tokens opened and placeholders in."""
        opened = [mapped(line, open_tokens) for line in self.lines]
        names = dict(self.known)
        for text in _strings(opened):
            for kind, pattern in NUMBERED.items():
                for value in pattern.findall(text):
                    if value not in names and value not in self.kept:
                        number = sum(name.startswith(kind + "-") for name in names.values()) + 1
                        names[value] = f"{kind}-{number}"

        def replaced(text: str, kinds: Iterable[str]) -> str:
            for value in sorted(names, key=len, reverse=True):
                text = text.replace(value, f"<{names[value]}>")
            for kind in kinds:
                text = CONSTANT[kind].sub(
                    lambda m, kind=kind: m[0].replace(m[1], f"<{kind}>"),  # type: ignore[misc]
                    text,
                )
            return text

        return [
            mapped(line, functools.partial(replaced, kinds=self._replaceable(line)))
            for line in opened
        ]

    def _replaceable(self, line: Line) -> Iterable[str]:
        """A signature that was wrong when it was recorded stays, and stays wrong."""
        operation = find_signed(line)
        if operation is None:
            return CONSTANT
        signature, _ = sign(operation, secret=self.secret)
        authorization = {k.lower(): v for k, v in operation.headers.items()}["authorization"]
        return (
            CONSTANT
            if signature in authorization
            else CONSTANT.keys() - {"signature", "body-sha256"}
        )

    def save(self, path: Path) -> None:
        """Writes the settled lines."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.settled())
        path.write_text(text)


def _signed(head: Head) -> frozenset[str]:
    """What a request's signature covers and a replay cannot work out: Go's SDK signs its tries."""
    found = re.search(r"SignedHeaders=([^,]+)", dict(head.headers).get("authorization", ""))
    return frozenset(found[1].split(";")) - {"content-length"} if found else frozenset()


def load(path: Path) -> list[Line]:
    """The lines of a saved transcript."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def mapped(line: Line, change: Callable[[str], str]) -> Line:
    """The line with every string that was said changed."""
    return {
        key: change(value)
        if isinstance(value, str) and key not in {"from", "relay"}
        else [change(item) for item in value]
        if isinstance(value, list)
        else value
        for key, value in line.items()
    }


def _strings(lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        for key, value in line.items():
            if isinstance(value, list):
                yield from value
            elif isinstance(value, str) and key not in {"from", "relay"}:
                yield value


class Bindings(dict[str, str]):
    """What the placeholders stand for in one replay, by name."""

    def matches(self, template: str, actual: str) -> bool:
        """Whether ``actual`` is the template, where each placeholder is one value throughout.

        A numbered placeholder that is not bound yet is bound to what stands in its place.
        """
        pattern, fresh, at = "", [], 0
        for found in PLACEHOLDER.finditer(template):
            pattern += re.escape(template[at : found.start()])
            name, at = found[1], found.end()
            if name == "epoch":  # whenever that was
                pattern += r"\d{10}(?:\.\d+)?"
            elif name in self:
                pattern += re.escape(self[name])
            elif name in fresh:
                pattern += f"(?P=_{fresh.index(name)})"
            else:
                pattern += f"(?P<_{len(fresh)}>{SHAPES[name.rpartition('-')[0]]})"
                fresh.append(name)
        matched = re.fullmatch(pattern + re.escape(template[at:]), actual)
        if matched is None:
            return False
        self.update({name: matched[f"_{n}"] for n, name in enumerate(fresh)})
        return True

    def filled(self, template: str) -> str:
        """The template with values in; unbound names are made up, signatures left in place."""
        return PLACEHOLDER.sub(lambda found: self._value(found[1]), template)

    def _value(self, name: str) -> str:
        if name in {"signature", "body-sha256"}:
            return f"<{name}>"
        if name not in self:
            kind, _, number = name.rpartition("-")
            self[name] = _made_up(kind, int(number))
        return self[name]


def _made_up(kind: str, number: int) -> str:
    match kind:
        case "uuid":
            return f"00000000-0000-4000-8000-{number:012x}"
        case "id":
            return f"{number:024x}"
        case _:
            raise AssertionError(
                f"the client cannot know <{kind}-{number}> before the relay said it"
            )
