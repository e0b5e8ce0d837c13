import json

import pytest
from typer.testing import CliRunner

from natless.cli import topology
from natless.errors import EnvironmentLacks, UsageError
from natless.vpc.topologies import TOPOLOGIES


@pytest.fixture
def control(monkeypatch):
    """What the control port would say, by method and path; None for no port at all."""
    answers = {}

    def ask(control, path, *, method="GET"):
        try:
            return answers[method, path]
        except KeyError:
            raise EnvironmentLacks("no control port answers") from None

    monkeypatch.setattr(topology, "_ask", ask)
    return answers


def run(*arguments):
    return CliRunner().invoke(topology.topology_app, arguments)


def test_the_list_has_every_topology_and_marks_none_without_a_lab(control):
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(TOPOLOGIES)


def test_the_list_marks_the_one_that_holds(control):
    control["GET", "/topology"] = {"current": "no-nat"}
    marked = [line for line in run("list").stdout.splitlines() if line.startswith("*")]
    assert [line.split()[1] for line in marked] == ["no-nat"]


def test_the_list_for_machines_says_the_same(control):
    control["GET", "/topology"] = {"current": "nat"}
    said = json.loads(run("list", "--json").stdout)
    assert said["current"] == "nat"
    assert [each["name"] for each in said["topologies"]] == list(TOPOLOGIES)


def test_show_draws_what_is_named_or_what_holds(control):
    assert run("show", "endpoint").stdout.startswith("endpoint: ")
    control["GET", "/topology"] = {"current": "no-nat"}
    assert run("show").stdout.startswith("no-nat: ")


def test_show_without_a_lab_asks_for_a_name(control):
    result = run("show")
    assert isinstance(result.exception, UsageError)
    assert "docker compose up" in result.exception.hint


def test_set_says_how_long_it_took(control):
    control["PUT", "/topology/no-nat"] = {
        "name": "no-nat",
        "title": "a title",
        "promise": "SYN gets no answer",
        "seconds": 0.0213,
    }
    assert "after 21 ms" in run("set", "no-nat").stdout


def test_set_can_prove_and_fails_when_the_promise_is_not_kept(control):
    control["PUT", "/topology/nat?keep&verify"] = {
        "name": "nat",
        "title": "a title",
        "promise": "works",
        "seconds": 0.01,
        "kept": False,
        "probes": [{"name": "reach", "kept": False, "seen": "connect: timeout"}],
    }
    result = run("set", "nat", "--keep", "--verify")
    assert result.exception.exit_code == 4
    assert "NOT  reach: connect: timeout" in result.stdout


def test_a_wrong_name_is_told_before_anybody_is_asked(control):
    result = run("set", "no-natt")
    assert isinstance(result.exception, UsageError)
    assert result.exception.hint == "Did you mean 'no-nat'?"


def test_no_control_port_is_explained(monkeypatch):
    monkeypatch.setenv("NATLESS_CONTROL", "http://127.0.0.1:1")
    result = run("set", "nat")
    assert isinstance(result.exception, EnvironmentLacks)
    assert "docker compose up" in result.exception.hint


@pytest.mark.parametrize(("width", "has_titles"), [(80, False), (200, True)])
def test_no_line_of_the_list_is_longer_than_the_terminal(width, has_titles):
    lines = list(topology.render_list(TOPOLOGIES.values(), current="nat", width=width))
    assert len(lines) == len(TOPOLOGIES)
    assert all(len(line) <= width for line in lines)
    assert all(
        (each.title in line) is has_titles
        for each, line in zip(TOPOLOGIES.values(), lines, strict=True)
    )
