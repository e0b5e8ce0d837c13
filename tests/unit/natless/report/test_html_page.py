import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from event_protocol.phases import Outcome, Phase
from natless.explain import explain
from natless.measure import Recorder
from natless.report import ProbeRun, RunDocument, describe_topology, render_html
from tests.unit.natless.explain.calls import evidence, failed_call
from tests.unit.natless.report.sample import WORKS, make_document

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}
EVIL = "<script>alert(1)</script>\"'&`<img src=x onerror=y>`"


class Elements(HTMLParser):
    """Collects elements, and complains about what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(document: RunDocument) -> Elements:
    elements = Elements()
    elements.feed(render_html(document))
    assert elements.open == []
    return elements


def visible(document: RunDocument) -> str:
    return " ".join(" ".join(read(document).text).split())


def evil_document() -> RunDocument:
    """The sample with a hostile text wherever a text of others can stand."""
    document = make_document()
    call = failed_call(Phase.UPGRADE, Outcome.HTTP_ERROR, status=500, message=EVIL, host=EVIL)
    bad = replace(
        document.topologies[2],
        name=EVIL, title=EVIL, purpose=EVIL, promised=EVIL, seen=EVIL, kept=False,
        verdict=explain(evidence(call)),
        invocations=(replace(call, note=EVIL, request_id=EVIL),),
        probes=(ProbeRun(EVIL, EVIL, EVIL, kept=False),),
        network=replace(document.topologies[2].network, function_address=EVIL),
    )  # fmt: skip
    return replace(
        document, topologies=(bad,), natless=EVIL, started=EVIL, network=EVIL,
        relay=replace(document.relay, realtime_host=EVIL, address=EVIL),
    )  # fmt: skip


def test_the_page_is_well_formed_and_says_what_happened():
    text = visible(make_document())
    assert "The function reaches your machine on 2 of 4 networks" in text
    assert "On no-nat a caller waits 3.0 s instead of 10 ms" in text
    assert "Every network showed what it promises, on Linux network namespaces." in text
    assert "The name resolved to 198.51.100.10, but the SYN got no answer" in text
    assert "Add a NAT gateway (or a NAT instance)" in text


def test_the_page_needs_nothing_from_outside():
    for tag, attributes in read(make_document()).found:
        assert tag not in {"script", "img", "iframe", "object", "link", "base", "form"}
        assert "style" not in attributes  # the policy would not apply it
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    page = render_html(make_document())
    assert "@import" not in page
    assert re.findall(r"url\(([^)]*)\)", page)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_the_policy_allows_the_style_sheet_and_nothing_else():
    page = render_html(make_document())
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert (
        f"content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'\"" in page
    )


def test_every_text_is_escaped():
    page = render_html(evil_document())
    assert "<script" not in page
    assert "<img" not in page
    assert 'onerror="' not in page
    elements = read(evil_document())
    assert all("onerror" not in attributes for _, attributes in elements.found)
    assert EVIL in "".join(elements.text)


def test_every_anchor_has_its_target_and_every_id_is_one():
    found = read(make_document()).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {a[n][1:] for _, a in found for n in ("href",) if n in a}
    used |= {a["aria-labelledby"] for _, a in found if "aria-labelledby" in a}
    assert used <= set(ids)


def test_every_drawing_has_words_or_is_hidden():
    for tag, attributes in read(make_document()).found:
        if tag == "svg" and attributes.get("class") not in (None, ""):
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"


def test_a_working_network_shows_a_cold_call_and_a_warm_one():
    text = visible(make_document())
    assert text.count("first call, cold") == 4
    assert text.count("a typical call, warm") == 2


def test_a_broken_promise_is_on_top_and_its_probes_are_open():
    document = make_document()
    probe = ProbeRun("far side", "", "a SYN arrived", kept=False)
    broken = replace(document.topologies[2], kept=False, probes=(probe,))
    page = replace(document, topologies=(document.topologies[0], broken))
    assert "Not as promised: no-nat" in visible(page)
    assert ("details", {"open": None}) in read(page).found


@pytest.mark.parametrize(
    ("chosen", "headline"),
    [
        ((0, 1), "The function reaches your machine on all 2 networks"),
        ((2, 3), "The function reaches your machine on none of 2 networks"),
        ((0,), "On no-vpc the function reaches your machine"),
        ((2,), "On no-nat the function does not reach your machine"),
    ],
)
def test_the_headline_counts(chosen, headline):
    document = make_document()
    some = replace(document, topologies=tuple(document.topologies[index] for index in chosen))
    assert headline in visible(some)


def test_a_network_without_a_call_is_a_page_too():
    empty = describe_topology("t", Recorder(), title="T", promise=WORKS)
    assert "no call was measured" in visible(replace(make_document(), topologies=(empty,)))


def test_candidates_and_code_are_marked():
    verdict = explain(evidence(failed_call(Phase.CONNECT, Outcome.TIMEOUT)))
    document = make_document()
    alike = replace(document.topologies[2], verdict=verdict)
    page = render_html(replace(document, topologies=(alike,)))
    assert "How to tell" in page
    assert "<code>aws ec2 describe-security-groups --group-ids &lt;group&gt;</code>" in page
