"""The report as JUnit XML, which continuous integration systems show: each topology a test case.

A test case passes when its topology showed what it promises, also when that is a failure of the
network: the test is the promise, not the network.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from natless.report.document import RunDocument, TopologyRun

# XML 1.0 has no way to write these, not even escaped; texts of other programs may hold them.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(document: RunDocument) -> str:
    """The run as the text of an XML file, to be written as UTF-8."""
    failures = sum(not topology.kept for topology in document.topologies)
    totals = {"tests": str(len(document.topologies)), "failures": str(failures)}
    root = ElementTree.Element("testsuites", totals | {"name": "natless"})
    of_suite = {
        "name": f"natless.{document.network}",
        "time": f"{document.seconds:.3f}",
        "timestamp": document.started,
        "errors": "0",
    }
    suite = ElementTree.SubElement(root, "testsuite", of_suite | totals)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("natless", document.natless), ("seed", str(document.seed))):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for topology in document.topologies:
        suite.append(_case(topology, network=document.network))
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{body}\n"


def _case(topology: TopologyRun, *, network: str) -> ElementTree.Element:
    seconds = sum(record.finished - record.started for record in topology.invocations)
    case = ElementTree.Element(
        "testcase",
        classname=f"natless.{network}",
        name=_clean(topology.name),
        time=f"{seconds:.3f}",
    )
    if not topology.kept:
        message = _clean(f"promised '{topology.promised}', saw '{topology.seen}'")
        failure = ElementTree.SubElement(case, "failure", type="PromiseBroken", message=message)
        broken = [probe for probe in topology.probes if not probe.kept]
        failure.text = _clean(
            "\n".join(f"{probe.name}: saw {probe.seen}" for probe in broken) or message
        )
    output = ElementTree.SubElement(case, "system-out")
    verdict = topology.verdict
    output.text = _clean("\n".join((f"[{verdict.cause}] {verdict.sentence}", *verdict.excerpt)))
    return case


def _clean(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
