import io
from dataclasses import replace

import pytest
from rich.console import Console

from event_protocol.phases import Outcome, Phase
from natless.explain import explain
from natless.report import ProbeRun, RunDocument, TerminalReport, print_run
from tests.unit.natless.explain.calls import evidence, failed_call
from tests.unit.natless.report.sample import make_document

WIDE = """\
  topology  promised            seen                                p50     p99  answered  by
  no-vpc    works               works                             10 ms  139 ms     20/20  worker
  nat       works               works                             10 ms  141 ms     20/20  worker
  no-nat    SYN gets no answer  connect: no answer in 3.0 s       3.0 s   3.1 s     20/20  fallback: deployed
    The name resolved to 198.51.100.10, but the SYN got no answer in 3.0 s: the subnet's route table
    has no way out. Add a NAT gateway, or run the function outside the VPC in dev. [no-route-out]
  endpoint  endpoint refuses    upgrade: HTTP 403 from 10.0.9.10  14 ms  134 ms     20/20  fallback: deployed
    The name resolved to 10.0.9.10, inside the VPC, which answered the upgrade with HTTP 403: the
    private DNS of an AppSync interface endpoint captures the API's names, and the endpoint refuses
    Event APIs, which are always public. A NAT alone does not help: switch the endpoint's private
    DNS off or use a custom domain, both with a NAT, or run the function outside the VPC in dev.
    [endpoint-captures]

On no-nat a caller waits 294 times as long as on nat.
Every topology showed what it promises, on Linux network namespaces.
"""  # noqa: E501  the table as it is

COMPACT = """\
  topology  seen                                p50     p99  answered
  no-vpc    works                             10 ms  139 ms     20/20
            promised: works; by worker

  nat       works                             10 ms  141 ms     20/20
            promised: works; by worker

  no-nat    connect: no answer in 3.0 s       3.0 s   3.1 s     20/20
            promised: SYN gets no answer; by fallback: deployed
    The name resolved to 198.51.100.10, but the SYN got no answer in 3.0 s: the
    subnet's route table has no way out. Add a NAT gateway, or run the function
    outside the VPC in dev. [no-route-out]
"""


def printed(document: RunDocument, width: int, *, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, legacy_windows=False)
    console.print(TerminalReport(document))
    return stream.getvalue()


@pytest.mark.parametrize("width", [110, 200])
def test_a_wide_terminal_gets_the_whole_table(width):
    assert printed(make_document(), width) == WIDE


def test_eighty_columns_get_a_compact_table():
    assert printed(make_document(), 80).startswith(COMPACT)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 110, 200])
def test_no_line_is_longer_than_the_terminal(width):
    assert max(map(len, printed(make_document(), width).splitlines())) <= width


def test_a_narrow_terminal_gets_one_block_for_each_topology():
    text = printed(make_document(), 50)
    assert "  no-nat\n    connect: no answer in 3.0 s\n    promised: SYN gets no answer\n" in text
    assert "    p50 3.0 s, p99 3.1 s\n    20/20 answered by fallback: deployed\n" in text


def test_colour_is_for_terminals_only():
    assert "\x1b[" in printed(make_document(), 110, colour=True)
    assert "\x1b[" not in printed(make_document(), 110)


def test_what_was_not_as_promised_is_told_with_its_probe():
    document = make_document()
    broken = replace(
        document.topologies[2],
        kept=False,
        probes=(ProbeRun("far side", "", "a SYN arrived", kept=False),),
    )
    text = printed(replace(document, topologies=(broken,)), 110)
    assert "probe 'far side': saw a SYN arrived" in text
    assert "promised 'SYN gets no answer', saw 'connect: no answer in 3.0 s'" in text
    assert "Not as promised: no-nat." in text
    assert "Every topology" not in text


def test_causes_that_look_alike_come_with_how_to_tell_them_apart():
    verdict = explain(evidence(failed_call(Phase.CONNECT, Outcome.TIMEOUT)))
    document = make_document()
    alike = replace(document.topologies[2], verdict=verdict)
    text = printed(replace(document, topologies=(alike,)), 110)
    assert "      - no-route-out: the table of every subnet" in text
    assert "      - sg-egress:" in text


def test_a_text_in_brackets_is_no_markup():
    document = make_document()
    odd = replace(document.topologies[0], seen="[red]works[/red]", kept=False)
    assert "[red]works[/red]" in printed(replace(document, topologies=(odd,)), 110)


def test_a_topology_without_a_call_is_shown():
    from natless.measure import Recorder
    from natless.report import describe_topology
    from tests.unit.natless.report.sample import WORKS

    empty = describe_topology("t", Recorder(), title="T", promise=WORKS)
    text = printed(replace(make_document(), topologies=(empty,)), 110)
    assert "nothing measured" in text
    assert "0/0" in text


def test_a_pipe_gets_the_whole_table_unless_it_is_told_its_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    wide, narrow = io.StringIO(), io.StringIO()
    print_run(make_document(), stream=wide)
    assert wide.getvalue() == WIDE
    monkeypatch.setenv("COLUMNS", "80")
    print_run(make_document(), stream=narrow)
    assert narrow.getvalue().startswith(COMPACT)


def test_the_path_of_the_report_stays_whole(tmp_path):
    stream = io.StringIO()
    path = tmp_path / ("x" * 150) / "report.html"
    print_run(make_document(), report=path, stream=stream)
    assert f"report: {path}\n" in stream.getvalue()
