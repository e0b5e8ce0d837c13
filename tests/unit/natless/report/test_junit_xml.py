from dataclasses import replace
from xml.etree import ElementTree

from natless.report import ProbeRun, render_junit
from tests.unit.natless.report.sample import make_document


def parse(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def test_a_topology_that_fails_as_promised_is_a_passed_test():
    root = parse(render_junit(make_document()))
    assert root.attrib == {"name": "natless", "tests": "4", "failures": "0"}
    cases = root.findall("testsuite/testcase")
    assert [case.get("name") for case in cases] == ["no-vpc", "nat", "no-nat", "endpoint"]
    assert cases[2].get("classname") == "natless.netns"
    assert "[no-route-out]" in (cases[2].findtext("system-out") or "")


def test_a_broken_promise_is_a_failure_with_its_probe():
    document = make_document()
    broken = replace(
        document.topologies[1],
        kept=False,
        seen="tls: connection reset",
        probes=(ProbeRun("reach", "", "a reset", kept=False),),
    )
    root = parse(render_junit(replace(document, topologies=(broken,))))
    failure = root.find("testsuite/testcase/failure")
    assert root.get("failures") == "1"
    assert failure is not None
    assert failure.get("message") == "promised 'works', saw 'tls: connection reset'"
    assert failure.text == "reach: saw a reset"


def test_characters_that_xml_cannot_hold_are_replaced():
    document = make_document()
    odd = replace(document.topologies[0], seen="a\x00b\x1b<\ud800>&", kept=False)
    failure = parse(render_junit(replace(document, topologies=(odd,)))).find(".//failure")
    assert failure is not None
    assert "a\ufffdb\ufffd<\ufffd>&" in (failure.get("message") or "")
