"""The report of a run: one document, four forms (terminal, JSON, HTML, JUnit XML)."""

from natless.report.document import (
    Platform,
    ProbeRun,
    RelayFacts,
    RunDocument,
    TopologyRun,
    describe_topology,
)
from natless.report.json_doc import from_json, make_schema, to_json
from natless.report.terminal import TerminalReport

__all__ = [
    "Platform",
    "ProbeRun",
    "RelayFacts",
    "RunDocument",
    "TerminalReport",
    "TopologyRun",
    "describe_topology",
    "from_json",
    "make_schema",
    "to_json",
]
