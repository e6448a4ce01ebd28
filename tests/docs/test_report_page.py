"""The report in a browser: on a phone, in dark mode, and with a keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rebar.reporting.measures import findings
from tests.docs.browser import CHROMIUM, Page, page
from tests.reporting.fake_results import allow_any_plugin
from tests.stages.test_report import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PHONE = 390  # pixels
LEAST_CONTRAST = 4.5  # WCAG 2.2 AA for text
CONTRAST = """
(() => {
  const luminance = text => {
    const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map(x => x / 255)
      .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!colour.endsWith(', 0)')) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = 'h1, h2, p, li, b, a, td, th, small, summary, figcaption, span';
  const seen = [...document.querySelectorAll(texts)]
    .filter(e => e.innerText && e.checkVisibility());
  return Math.min(...seen.map(e => {
    const [low, high] = [luminance(getComputedStyle(e).color), luminance(ground(e))].sort();
    return (Math.max(low, high) + 0.05) / (Math.min(low, high) + 0.05);
  }));
})()
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The report of made-up results, in a browser."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        allow_any_plugin(patch)
        patch.setattr(findings, "is_benign", lambda config, attack: "benign" in attack)
        write_report(root, seeds=[11])
    with page(tmp_path_factory.mktemp("profile")) as opened:
        opened.open((root / "report.html").as_uri())
        opened.wait_for_text("What was found", "Details")
        yield opened


def test_what_was_found_comes_first_and_details_are_folded(tab: Page) -> None:
    headings = tab.run("[...document.querySelectorAll('h2')].map(e => e.innerText).join('|')")
    assert headings.split("|")[:2] == ["What was found", "Comparison"]
    assert headings.split("|")[-1] == "Details"
    assert tab.run("document.querySelector('main').querySelector('img').alt").startswith(
        "The ladder"
    )
    assert tab.run("document.querySelectorAll('.found li').length") == 3
    assert tab.run("document.querySelectorAll('details[open]').length") == 0
    assert tab.run("document.querySelectorAll('details').length") == 3


def test_a_phone_scrolls_tables_and_never_the_page(tab: Page) -> None:
    tab.resize(PHONE, 800)
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert tab.run("document.documentElement.scrollWidth") <= PHONE
    boxes = "[...document.querySelectorAll('.scroll')]"
    assert tab.run(f"{boxes}.every(e => e.getBoundingClientRect().right <= {PHONE})") is True
    assert tab.run(f"{boxes}.some(e => e.scrollWidth > e.clientWidth)") is True
    tables = "[...document.querySelectorAll('table')]"
    assert tab.run(f"{tables}.every(e => e.closest('.scroll'))") is True
    tab.resize(1280, 800)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(tab: Page, scheme: str) -> None:
    tab.prefer(scheme)
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 25, 28)"}[scheme]
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert tab.run(CONTRAST) >= LEAST_CONTRAST
    figures = "[...document.querySelectorAll('figure img')]"
    white = "getComputedStyle(e).backgroundColor === 'rgb(255, 255, 255)'"
    assert tab.run(f"{figures}.every(e => {white})") is True
    tab.prefer("light")


def test_a_keyboard_reaches_everything_and_shows_where_it_is(tab: Page) -> None:
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = false; })")
    tab.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    tab.press("Tab")
    assert tab.run("document.activeElement.className") == "skip"
    assert tab.run("document.activeElement.getBoundingClientRect().left >= 0") is True
    tab.press("Enter")
    assert tab.run("location.hash") == "#found"
    tab.press("Tab")
    assert tab.run("document.activeElement.className") == "scroll"
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.run("document.querySelector('summary').focus()")
    tab.press("Enter")
    assert tab.run("document.querySelector('details').open") is True
    tab.press(" ")
    assert tab.run("document.querySelector('details').open") is False
