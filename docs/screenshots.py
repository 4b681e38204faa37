"""What does a person see? Starts the dashboard, opens each page in headless Chromium, saves pictures for the README.

The first run shown is the synthetic demo and no file is uploaded, so that every patch in the pictures is synthetic.

    pip install playwright && python docs/screenshots.py        (needs Chromium, e.g. Debian's package)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent
PORT = 8671
PAGES = {"patch": "/", "performance": "/performance"}


def main(out: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true", "--server.port", str(PORT)],
        cwd=DOCS.parent, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(60):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_stcore/health")
                break
            except OSError:
                time.sleep(0.5)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            for name, path in PAGES.items():
                page.goto(f"http://127.0.0.1:{PORT}{path}?run=demo")
                page.get_by_test_id("stPlotlyChart").first.wait_for(timeout=90_000)
                page.wait_for_timeout(2500)
                page.screenshot(path=out / f"{name}.png")
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
