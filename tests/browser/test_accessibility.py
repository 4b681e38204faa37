"""Accessibility: axe-core on every page, light and dark; the keyboard alone; text alternatives of figures."""

from __future__ import annotations

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
    """Tab to the choice of the map's class, open it, choose another class with the arrows."""
    open_page(page, server, "patch")
    for _ in range(80):
        page.keyboard.press("Tab")
        label = page.evaluate("document.activeElement.getAttribute('aria-label') || ''")
        if "Map for class" in label:
            break
    assert "Map for class" in label
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    ready(page)
    assert page.locator("[data-testid=stImage]").count() >= 3


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
