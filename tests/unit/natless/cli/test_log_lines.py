import json

import pytest

from natless.cli.log_lines import show_line

STAMP = "2026-11-24T18:00:00.123Z"
ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


def shown(line, **how):
    return [(str(row), str(row.style)) for row in show_line(line, **how)]


def test_an_ordinary_line_stays_as_it_is():
    assert shown("order 7") == [("order 7", "")]
    assert shown("a\tb") == [("a\tb", "")]
    assert shown("oh", is_stderr=True) == [("oh", "red")]


@pytest.mark.parametrize(
    ("level", "style"), [("INFO", ""), ("DEBUG", "dim"), ("WARN", "yellow"), ("ERROR", "red")]
)
def test_a_record_of_nodes_console_loses_its_head(level, style):
    assert shown(f"{STAMP}\t{ID}\t{level}\torder 7") == [("order 7", style)]
    assert shown(f"{STAMP}\tundefined\t{level}\tloading") == [("loading", style)]


@pytest.mark.parametrize(("level", "style"), [("INFO", ""), ("WARNING", "yellow")])
def test_a_record_of_pythons_logging_loses_its_head(level, style):
    assert shown(f"[{level}]\t{STAMP}\t{ID}\torder 7") == [("order 7", style)]


def test_a_record_of_several_lines_has_several_rows():
    assert shown(f"{STAMP}\t{ID}\tINFO\t{{\r  a: 1\r}}") == [("{", ""), ("  a: 1", ""), ("}", "")]


def test_an_error_is_shown_as_node_would_print_it():
    said = {"errorType": "E", "errorMessage": "no", "stack": ["E: no", "    at f (a.mjs:1:2)"]}
    line = f"{STAMP}\t{ID}\tERROR\tInvoke Error \t{json.dumps(said)}"
    assert shown(line) == [("E: no", "red"), ("    at f (a.mjs:1:2)", "red")]
    bare = f"{STAMP}\t{ID}\tERROR\tInvoke Error \t" + json.dumps(said | {"stack": []})
    assert shown(bare) == [("E: no", "red")]
    assert shown(f"{STAMP}\t{ID}\tERROR\tInvoke Error \t{{") == [("{", "red")]


def test_the_deployed_code_stays_in_the_background():
    assert shown(f"{STAMP}\t{ID}\tERROR\tno", is_dim=True) == [("no", "dim")]
