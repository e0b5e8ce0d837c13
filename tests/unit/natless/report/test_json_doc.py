import json
from pathlib import Path

import jsonschema
import pytest

from natless.report import make_schema, parse_json, render_json
from natless.report.json_doc import schema_text
from natless.report.shapes import ShapeError
from tests.unit.natless.report.sample import make_document

COMMITTED = Path("docs/reference/report.schema.json")


def changed(path: list[str | int], value: object) -> str:
    raw = json.loads(render_json(make_document()))
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(raw)


def test_the_committed_schema_is_the_one_of_the_code():
    found = COMMITTED.read_text(encoding="utf-8")
    assert found == schema_text(), f"python -m natless.report > {COMMITTED}"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(make_schema())


def test_a_report_is_valid():
    raw = json.loads(render_json(make_document()))
    jsonschema.Draft202012Validator(make_schema()).validate(raw)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["topologies", 0, "latency", "p50_ms"], "9"),
        (["topologies", 0, "kept"], 1),
        (["topologies", 0, "answered"], -1),
        (["topologies", 2, "verdict", "phase"], "dns"),
        (["topologies", 2, "by"], {"nobody": 3}),
        (["topologies", 0, "invocations", 0, "spans", 0, "outcome"], "fine"),
        (["surprise"], 1),
    ],
)
def test_the_schema_refuses_what_is_wrong(path, value):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(make_schema()).validate(json.loads(changed(path, value)))


def test_reading_and_writing_again_changes_nothing():
    text = render_json(make_document())
    assert render_json(parse_json(text)) == text
    assert parse_json(text).topologies[2].verdict == make_document().topologies[2].verdict


def test_one_line_is_one_line():
    assert "\n" not in render_json(make_document(), indent=None)


def test_durations_are_milliseconds_and_times_are_those_of_the_journal():
    raw = json.loads(render_json(make_document()))
    no_nat = raw["topologies"][2]
    assert 3000 < no_nat["latency"]["p50_ms"] < 3020
    call = no_nat["invocations"][0]
    connect = call["spans"][1]
    assert call["started_at"] == 4104.0
    assert connect["budget_ms"] == 3000
    assert connect["duration_ms"] == pytest.approx(3000.4, abs=0.01)
    assert raw["kept"] is True


def test_a_reader_ignores_members_that_it_does_not_know():
    assert parse_json(changed(["surprise"], 1)).kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "the document: is not JSON"),
        ("[]", "the document: expected a object"),
        ('{"version": 2}', "version: expected 1, got 2"),
        ('{"version": 1}', "natless: is missing"),
        (changed(["topologies", 0, "latency", "p50_ms"], True),
         "topologies[0].latency.p50_ms: expected a number, got True"),
        (changed(["topologies", 1, "by"], {"nobody": 3}),
         "topologies[1].by: expected one of worker"),
        (changed(["topologies"], {}), "topologies: expected an array"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused_with_the_place(text, words):
    with pytest.raises(ShapeError) as caught:
        parse_json(text)
    assert words in str(caught.value)
