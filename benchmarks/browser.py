"""A dashboard server on a free port, Chromium, and the steps of a visitor on its pages.

Used by the browser tests, the benchmarks and docs/screenshots.py. Nothing is installed here: Chromium must be there
(Debian: apt-get install chromium).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: Page name -> its address below the server.
NAMES = (
    "patch",
    "batch",
    "slide",
    "performance",
    "errors",
    "calibration",
    "decisions",
    "subgroups",
    "external",
    "planning",
    "predictions",
    "runs",
    "backbones",
    "leakage",
    "dataset",
    "training",
    "about",
)
PAGES = {"home": ""} | {name: name for name in NAMES}


@contextmanager
def dashboard(*, cwd: Path = ROOT, **environment: str) -> Iterator[str]:
    """A server of its own on a free port; its address. Ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app.py",
        "--server.headless",
        "true",
        "--server.port",
        str(port),
        "--server.fileWatcherType",
        "none",
    ]
    server = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "the server ended by itself"
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def open_page(page, server: str, name: str, **query: str) -> None:
    page.goto(f"{server}/{PAGES[name]}?{urlencode({'run': 'demo', **query})}")
    page.locator("h1").first.wait_for()
    ready(page)


def ready(page) -> None:
    """Wait until no script runs: Streamlit says so on its root element."""
    page.wait_for_function(
        """() => { const app = document.querySelector('[data-testid="stApp"]');
                   return app && app.getAttribute('data-test-script-state') === 'notRunning'; }"""
    )
    page.wait_for_timeout(300)


def upload(page, *files: tuple[str, bytes]) -> None:
    page.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    )


def errors(page) -> list[str]:
    """What the page shows as errors, exceptions included."""
    found = page.locator('[data-testid="stAlertContentError"], [data-testid="stException"]')
    return found.all_inner_texts()
