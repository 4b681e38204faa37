"""Screenshots of the dashboard for the documentation, taken in headless Chromium.

The run shown is the synthetic demo and no file is uploaded, so that every patch in the pictures is synthetic.

    pip install -r requirements-test.txt && python docs/screenshots.py [FOLDER]      (needs Chromium)
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.browser import ARGUMENTS, CHROMIUM, dashboard, open_page

DOCS = Path(__file__).resolve().parent
#: Picture -> page, what stands in its address, and the height it needs.
PICTURES = {
    "home": ("home", {}, 920),
    "patch": ("patch", {}, 1200),
    "performance": ("performance", {"unit": "patch"}, 1160),
    "errors": ("errors", {}, 1000),
}

#: Whether every figure of the page is drawn.
DRAWN = """() => [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].every(
               figure => !figure.offsetParent || figure.querySelector('.main-svg'))"""


def main(out: Path) -> None:
    with dashboard() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name, (page_name, query, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1280, "height": height})
            page.set_default_timeout(90_000)
            open_page(page, address, page_name, **query)
            page.wait_for_function(DRAWN)
            page.wait_for_timeout(1500)
            page.screenshot(path=out / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
