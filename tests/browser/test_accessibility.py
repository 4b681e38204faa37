"""Accessibility: axe-core on every page, light and dark; the keyboard alone; text alternatives of figures."""

from __future__ import annotations

import re

import pytest

from benchmarks.browser import PAGES, open_page, ready

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

#: What Streamlit 1.67 itself draws wrong and no page can mend; each with its reason.
STREAMLITS_OWN: dict[str, str] = {}


@pytest.mark.parametrize("name", list(PAGES))
def test_axe_finds_nothing_serious_in_light_or_dark_and_a_phone_needs_no_sideways_scroll(page, server, name):
    open_page(page, server, name)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        background = page.evaluate(
            "getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor"
        )
        assert (sum(map(int, background[4:-1].split(",")[:3])) < 200) == (scheme == "dark")
        assert _serious(axe.Axe().run(page).response["violations"]) == {}, scheme
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    ready(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert "Research use only" in page.locator("body").inner_text()


def _serious(violations: list[dict]) -> dict[str, list[str]]:
    return {
        v["id"]: [n["html"][:160] for n in v["nodes"]][:4]
        for v in violations
        if v["impact"] in ("serious", "critical") and v["id"] not in STREAMLITS_OWN
    }


def test_the_keyboard_alone_reaches_the_answer(page, server):
    """Tab to the choice of the map's class, and choose another class with the arrows."""
    open_page(page, server, "patch")
    group = """() => { const of = document.activeElement.closest('[data-testid="stButtonGroup"]');
                       return of ? of.innerText : ''; }"""
    for _ in range(80):
        page.keyboard.press("Tab")
        if "Map for class" in page.evaluate(group):
            break
    assert "Map for class" in page.evaluate(group)
    before = page.get_by_role("img", name=re.compile("laid over the patch")).first.get_attribute("alt")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    ready(page)
    page.wait_for_function(
        "before => ![...document.images].some(image => image.alt === before)", arg=before, timeout=30_000
    )


def test_figures_of_a_dark_page_have_its_ink(page, server):
    """The ink of the page, also when the theme changes while the page is open."""
    open_page(page, server, "performance", unit="patch")
    inks = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.locator(".js-plotly-plot .heatmaplayer text").first.wait_for()
        page.wait_for_timeout(800)
        ink = page.locator(".js-plotly-plot .heatmaplayer text").first.evaluate("e => getComputedStyle(e).fill")
        inks[scheme] = sum(map(int, re.findall(r"\d+", ink)[:3]))
    assert inks["light"] < 200
    assert inks["dark"] > 550


@pytest.mark.parametrize("name", ["patch", "performance", "dataset", "training"])
def test_every_figure_and_picture_has_words(page, server, name):
    open_page(page, server, name)
    page.locator(".js-plotly-plot").first.wait_for()
    bare = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].filter(e =>
                 !e.querySelector('[aria-label]') && !e.closest('[aria-label]')).length"""
    )
    silent = page.evaluate("[...document.querySelectorAll('[data-testid=stImage] img')].filter(i => !i.alt).length")
    assert (bare, silent) == (0, 0)
