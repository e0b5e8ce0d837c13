"""The report in a real browser: it renders, asks nobody, and fits a phone."""

import pytest

from natless.report import render_html
from tests.browser.devtools import CHROMIUM, open_page
from tests.unit.natless.report.sample import make_document

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium or google-chrome")


@pytest.fixture(scope="module")
def page():
    with open_page() as page:
        yield page


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(make_document()), encoding="utf-8")
    return path.as_uri()


def test_the_report_asks_for_nothing_but_itself(page, address):
    page.open(address, width=1280)
    assert page.requested() == [address]
    assert page.complaints() == []


def test_the_report_is_there_without_script(page, address):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(address, width=1280)
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "2 of 4 networks" in page.evaluate("document.querySelector('h1').innerText")
    assert page.evaluate("document.querySelectorAll('article').length") == 4


def test_the_style_sheet_is_applied_although_the_page_forbids_styles(page, address):
    page.open(address, width=1280)
    assert page.evaluate("getComputedStyle(document.querySelector('article')).borderRadius") == (
        "14px"
    )


@pytest.mark.parametrize("width", [320, 375, 680, 681, 900, 1280])
def test_nothing_is_wider_than_the_screen(page, address, width):
    page.open(address, width=width)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    outside = """[...document.querySelectorAll('body *:not(pre *, .scroll *, .hidden, svg *)')]
        .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
        .map(each => each.tagName + '.' + each.className)"""
    assert page.evaluate(outside) == []


@pytest.mark.parametrize(("width", "shown", "hidden"), [(1280, "wide", "upright"),
                                                        (375, "upright", "wide")])  # fmt: skip
def test_the_drawing_suits_the_screen(page, address, width, shown, hidden):
    page.open(address, width=width)
    display = "getComputedStyle(document.querySelector('.diagram.{}')).display"
    assert page.evaluate(display.format(shown)) == "block"
    assert page.evaluate(display.format(hidden)) == "none"


def test_text_in_drawings_can_be_read_on_a_phone(page, address):
    page.open(address, width=375)
    heights = page.evaluate(
        "[...document.querySelectorAll('.upright text')].map(e => e.getBoundingClientRect().height)"
    )
    assert heights
    assert min(heights) >= 10


CONTRAST = """(() => {
  const read = text => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return {c: [r, g, b], a};
  };
  const light = ({c}) => {
    const [r, g, b] = c.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = read(getComputedStyle(e).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return {c: [255, 255, 255], a: 1};
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('svg')) continue;
    const pair = [light(read(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + .05) / (pair[1] + .05);
    if (contrast < 4.5) poor.push(element.className + ' ' + contrast.toFixed(2) + ' ' + walker.currentNode.data.slice(0, 30));
  }
  return poor;
})()"""  # noqa: E501  JavaScript


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_has_the_contrast_that_wcag_aa_asks_for(page, address, dark):
    page.open(address, width=1280, dark=dark)
    assert page.evaluate(CONTRAST) == []


def test_dark_and_light_are_two_grounds(page, address):
    ground = "getComputedStyle(document.body).backgroundColor"
    page.open(address, width=1280, dark=False)
    light = page.evaluate(ground)
    page.open(address, width=1280, dark=True)
    assert page.evaluate(ground) != light
