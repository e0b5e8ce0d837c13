"""The shapes are those of botocore's service model, and nothing is from memory."""

from __future__ import annotations

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from relay.control.errors import ControlError
from relay.control.operations import OPERATIONS
from relay.control.shapes import (
    INPUTS,
    Flag,
    Listing,
    Structure,
    Table,
    Text,
    Whole,
    check,
)

MODEL = ServiceModel(Loader().load_service_model("appsync", "service-2"))
BELONGS = ("/v2/", "apikeys", "/v1/apis/{apiId}/datasources", "/v1/tags", "/v1/domainnames")
NAMES = [
    name
    for name in MODEL.operation_names
    if any(part in MODEL.operation_model(name).http["requestUri"] for part in BELONGS)
]
# The request has no bound, but the answer has, and a value out of it could never be shown.
STRICTER = {"ownerContact"}


def same(ours, theirs, where):
    constraints = theirs.metadata
    match ours:
        case Text():
            assert theirs.type_name == "string", where
            if where.rpartition(".")[2] in STRICTER:
                return
            assert ours.minimum == constraints.get("min", 0), where
            assert ours.maximum == constraints.get("max"), where
            assert ours.pattern == constraints.get("pattern"), where
            assert list(ours.choices) == theirs.enum, where
        case Whole():
            assert theirs.type_name in ("integer", "long"), where
            assert ours.minimum == constraints.get("min"), where
            assert ours.maximum == constraints.get("max"), where
        case Flag():
            assert theirs.type_name == "boolean", where
        case Listing():
            assert theirs.type_name == "list", where
            assert ours.minimum == constraints.get("min", 0), where
            assert ours.maximum == constraints.get("max"), where
            same(ours.member, theirs.member, f"{where}[]")
        case Table():
            assert theirs.type_name == "map", where
            assert ours.minimum == constraints.get("min", 0), where
            assert ours.maximum == constraints.get("max"), where
            same(ours.key, theirs.key, f"{where}.key")
            same(ours.value, theirs.value, f"{where}.value")
        case Structure():
            assert theirs.type_name == "structure", where
            assert set(ours.members) == set(theirs.members), where
            assert set(ours.required) == set(theirs.required_members), where
            for name, member in ours.members.items():
                same(member, theirs.members[name], f"{where}.{name}")


def test_there_is_an_operation_for_each_of_the_model_that_events_have():
    assert {operation.name for operation in OPERATIONS} == set(NAMES)
    assert set(INPUTS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_input_has_the_shape_of_the_model(name):
    same(INPUTS[name], MODEL.operation_model(name).input_shape, name)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_has_the_method_path_and_query_of_the_model(operation):
    theirs = MODEL.operation_model(operation.name)
    assert operation.method == theirs.http["method"]
    path = "/" + "/".join(operation.path)
    assert path.replace("+}", "}") == theirs.http["requestUri"]
    query = {
        name
        for name, member in theirs.input_shape.members.items()
        if member.serialization.get("location") == "querystring"
    }
    assert set(operation.query) == query


def test_errors_have_the_status_of_the_model():
    modelled = {shape.name: shape.metadata["error"] for shape in MODEL.error_shapes}
    ours = {kind.name: kind.status for kind in _kinds(ControlError)}
    shared = modelled.keys() & ours.keys()
    assert len(shared) >= 7
    for name in shared:
        assert ours[name] == modelled[name]["httpStatusCode"], name


def _kinds(kind):
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)


def test_null_members_are_absent_and_unknown_ones_are_dropped():
    shape = Structure({"a": Text(), "b": Text()}, ("a",))
    assert check({"a": "x", "b": None, "c": 1}, shape) == {"a": "x"}


def test_a_message_names_the_place():
    shape = Structure({"a": Listing(Structure({"b": Text(maximum=1)}))})
    with pytest.raises(ControlError, match=r"Value at 'a\.2\.member\.b' failed"):
        check({"a": [{"b": "x"}, {"b": "xx"}]}, shape)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (True, Whole()),
        (1.0, Whole()),
        ("1", Whole()),
        (1, Flag()),
        ("x", Listing(Text())),
        ({}, Listing(Text())),
        ([], Table(Text(), Text())),
        ({"a": 1}, Table(Text(), Text())),
        ({1: "a"}, Table(Text(), Text())),
        ("x", Structure({})),
        ([], Structure({})),
        (None, Text()),
        ("x\n", Text(pattern="x")),
        ("٣", Text(pattern=r"\d")),
    ],
)
def test_another_kind_is_refused(value, shape):
    with pytest.raises(ControlError):
        check(value, shape, where="x")
