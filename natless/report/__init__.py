"""The report of a run: one document, four forms (terminal, JSON, HTML, JUnit XML)."""

from natless.report.document import (
    Platform,
    ProbeRun,
    RelayFacts,
    RunDocument,
    TopologyRun,
    describe_topology,
)
from natless.report.html_page import render_html
from natless.report.json_doc import make_schema, parse_json, render_json
from natless.report.junit_xml import render_junit
from natless.report.terminal import TerminalReport, print_run

__all__ = [
    "Platform",
    "ProbeRun",
    "RelayFacts",
    "RunDocument",
    "TerminalReport",
    "TopologyRun",
    "describe_topology",
    "make_schema",
    "parse_json",
    "print_run",
    "render_html",
    "render_json",
    "render_junit",
]
