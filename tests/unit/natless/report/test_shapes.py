from dataclasses import dataclass

from natless.report.shapes import COUNT, MILLISECONDS, TEXT, Member, object_of, optional


@dataclass(frozen=True)
class Thing:
    """A thing.

    Attributes:
        name: what it is
            called.
        seconds: how ``long``.

    It has more to say.
    """

    name: str
    seconds: float | None


SHAPE = object_of(
    Thing,
    Member("name", TEXT),
    Member("ms", optional(MILLISECONDS), "seconds"),
    Member("length", COUNT, derive=lambda thing: len(thing.name), description="of the name"),
)


def test_members_are_renamed_converted_and_derived():
    assert SHAPE.encode(Thing("abc", 0.25)) == {"name": "abc", "ms": 250.0, "length": 3}
    assert SHAPE.decode({"name": "abc", "ms": 250, "length": 99}, "") == Thing("abc", 0.25)
    assert SHAPE.encode(Thing("", None))["ms"] is None


def test_descriptions_come_from_the_docstring():
    schema = SHAPE.schema()
    assert schema["description"] == "A thing."
    assert schema["properties"]["name"]["description"] == "what it is called."
    assert schema["properties"]["ms"] == {
        "type": ["number", "null"], "minimum": 0, "description": "how `long`.",
    }  # fmt: skip
    assert schema["properties"]["length"]["description"] == "of the name"
