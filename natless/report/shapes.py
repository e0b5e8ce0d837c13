"""How values look as JSON: described once, used three times (writing, reading, JSON Schema).

A :class:`Shape` knows the JSON of one Python type. An :class:`ObjectShape` is a dataclass: it lists
its members by hand, because a name on the wire is a promise that a renamed attribute must not
break; its schema takes the descriptions from the ``Attributes:`` of the class's docstring.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Json = Any  # what json.loads gives


class ShapeError(ValueError):
    """A JSON value does not have the shape it should have.

    Attributes:
        path: where in the document, such as ``topologies[0].latency.p50_ms``.
        problem: what is wrong there.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the document'}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Shape:
    """One Python type as JSON.

    Attributes:
        encode: Python to JSON.
        decode: JSON and its path to Python; raises ShapeError.
        schema: JSON Schema of it, as a function because it may refer to others.
    """

    encode: Callable[[Any], Json]
    decode: Callable[[Json, str], Any]
    schema: Callable[[], dict[str, Json]]


def _scalar(kind: str, types: tuple[type, ...], **constraints: Json) -> Shape:
    def decode(value: Json, path: str) -> Json:
        # A JSON true is a Python int, but no number to us.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ShapeError(path, f"expected a {kind}, got {value!r:.60}")
        return value

    return Shape(lambda value: value, decode, lambda: {"type": kind, **constraints})


TEXT = _scalar("string", (str,))
FLAG = _scalar("boolean", (bool,))
COUNT = _scalar("integer", (int,), minimum=0)
INTEGER = _scalar("integer", (int,))
FACTS = _scalar("object", (dict,))
_NUMBER = _scalar("number", (int, float))


def _number(encode: Callable[[float], float], decode: Callable[[float], float]) -> Shape:
    return Shape(
        encode,
        lambda value, path: decode(float(_NUMBER.decode(value, path))),
        lambda: {"type": "number", "minimum": 0},
    )


# Microseconds are finer than what the measured clocks are worth.
MILLISECONDS = _number(lambda seconds: round(seconds * 1000, 3), lambda value: value / 1000)
SECONDS = _number(lambda seconds: round(seconds, 6), lambda value: value)


def optional(shape: Shape) -> Shape:
    """The shape, or null for None."""

    def schema() -> dict[str, Json]:
        inner = shape.schema()
        if isinstance(inner.get("type"), str) and "enum" not in inner:
            return inner | {"type": [inner["type"], "null"]}
        return {"anyOf": [inner, {"type": "null"}]}

    return Shape(
        lambda value: None if value is None else shape.encode(value),
        lambda value, path: None if value is None else shape.decode(value, path),
        schema,
    )


def one_of(enum: type[StrEnum]) -> Shape:
    """A member of an enumeration, by its value."""

    def decode(value: Json, path: str) -> StrEnum:
        try:
            return enum(value)
        except ValueError:
            known = ", ".join(enum)
            raise ShapeError(path, f"expected one of {known}, got {value!r:.60}") from None

    return Shape(str, decode, lambda: {"type": "string", "enum": [str(member) for member in enum]})


def list_of(shape: Shape) -> Shape:
    """A tuple in Python, an array in JSON."""

    def decode(value: Json, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ShapeError(path, f"expected an array, got {value!r:.60}")
        return tuple(shape.decode(item, f"{path}[{i}]") for i, item in enumerate(value))

    return Shape(
        lambda values: [shape.encode(value) for value in values],
        decode,
        lambda: {"type": "array", "items": shape.schema()},
    )


def map_of(key: Shape, shape: Shape) -> Shape:
    """A mapping with keys of a known set."""

    def decode(value: Json, path: str) -> dict[Any, Any]:
        members = FACTS.decode(value, path)
        return {
            key.decode(name, path): shape.decode(item, f"{path}.{name}")
            for name, item in members.items()
        }

    return Shape(
        lambda values: {key.encode(name): shape.encode(value) for name, value in values.items()},
        decode,
        lambda: {
            "type": "object",
            "propertyNames": key.schema(),
            "additionalProperties": shape.schema(),
        },
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a JSON object.

    Attributes:
        name: on the wire.
        shape: of its value.
        attribute: of the dataclass; the same as ``name`` when empty.
        derive: computes the member from the whole value; such a member is written and never read.
        description: for the schema, where the dataclass's docstring has none.
    """

    name: str
    shape: Shape
    attribute: str = ""
    derive: Callable[[Any], Any] | None = None
    description: str = ""

    @property
    def source(self) -> str:
        """The attribute behind it."""
        return self.attribute or self.name

    def encode(self, value: Any) -> Json:  # noqa: ANN401  a value of the dataclass
        """The member of a value."""
        derived = self.derive(value) if self.derive else getattr(value, self.source)
        return self.shape.encode(derived)


def object_of(cls: type, *members: Member) -> Shape:
    """A dataclass with its members in their order on the wire."""

    def encode(value: Any) -> Json:  # noqa: ANN401  a value of cls, which is only known here
        return {member.name: member.encode(value) for member in members}

    def decode(value: Json, path: str) -> Any:  # noqa: ANN401
        found: Mapping[str, Json] = FACTS.decode(value, path)
        arguments = {}
        for member in members:
            where = f"{path}.{member.name}".lstrip(".")
            if member.name not in found:
                raise ShapeError(where, "is missing")
            if member.derive is None:
                arguments[member.source] = member.shape.decode(found[member.name], where)
        return cls(**arguments)

    def schema() -> dict[str, Json]:
        described = _describe_attributes(cls)
        return {
            "type": "object",
            "description": (inspect.getdoc(cls) or "").partition("\n")[0],
            "properties": {
                member.name: member.shape.schema() | _description(member, described)
                for member in members
            },
            "required": [member.name for member in members],
            "additionalProperties": False,
        }

    return Shape(encode, decode, schema)


def _description(member: Member, described: Mapping[str, str]) -> dict[str, str]:
    text = member.description or described.get(member.source, "")
    return {"description": text} if text else {}


def _describe_attributes(cls: type) -> dict[str, str]:
    """The ``Attributes:`` of a Google docstring, one sentence each."""
    _, _, block = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    block = re.split(r"\n(?=\S)", block)[0]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", block, re.MULTILINE)
    return {name: " ".join(text.replace("``", "`").split()) for name, text in found}
