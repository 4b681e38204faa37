"""Waiting times of the dashboard in a real browser on this machine; medians into a results file.

    python benchmarks/dashboard_speed.py upload      a patch of 224 px to prediction and map on screen, 15 times
    python benchmarks/dashboard_speed.py pages       each evidence page of the demo run after the first visit, 7 times
    python benchmarks/dashboard_speed.py million     the same with a file of 1,000,000 predictions, and memory
    python benchmarks/dashboard_speed.py million-with-network   the same on a server that has answered about a patch
    python benchmarks/dashboard_speed.py first       from the start of the server to its home page in a browser, 5 times
    python benchmarks/dashboard_speed.py             all of these

Machines differ and are shared, so the load average stands beside the figures; nothing here is a test.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.browser import ARGUMENTS, CHROMIUM, dashboard, open_page, ready, upload
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png

RESULTS = Path(__file__).parent / "results" / "dashboard_speed.json"
#: Every page of the evidence and what must stand on it before it counts as there.
EVIDENCE = {
    "Performance": "text=Confusion table (CSV)",
    "Errors": "text=Misclassified cases",
    "Calibration": "text=All calibration metrics (CSV)",
    "Decisions": 'role=tab[name="Thresholds"]',
    "Subgroups": "text=Subgroups are assessed one by one",
}


def server_memory(what: str = "VmRSS") -> float:
    """Resident memory of the dashboard's process, MiB, now or (``VmHWM``) at its highest; the largest server here."""
    sizes = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"streamlit" in command and b"app.py" in command:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith(what)]
        except OSError:
            continue
    return round(max(sizes), 1)


def uploads(page, address: str, times: int = 15) -> dict:
    """Seconds from handing the browser a file until prediction and map stand on the page and no script runs."""
    spec = CohortSpec(patients=24, patches_per_patient=1, px=224, mpp=0.4, seed=77)
    open_page(page, address, "patch")
    seconds = []
    for i in range(times + 1):
        data = encode_png(render_patch(spec, i).image)
        began = time.perf_counter()
        upload(page, (f"patch {i}.png", data))
        page.locator(f'img[alt$="laid over the patch patch {i}.png"]').wait_for()
        page.wait_for_function("document.querySelector('[data-test-script-state=notRunning]')")
        seconds.append(time.perf_counter() - began)
        page.get_by_text("Clear the 1 uploaded").click()
        page.get_by_text("No patch uploaded").wait_for()
        ready(page)
    return summary(seconds[1:])


def first_page(browser, times: int = 5) -> dict:
    """Seconds from the command that starts the server until a visitor sees the home page; the first is discarded."""
    seconds = []
    for _ in range(times + 1):
        began = time.perf_counter()
        with dashboard() as address:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(address)
            page.locator("h1").first.wait_for()
            page.wait_for_function("document.querySelector('[data-test-script-state=notRunning]')")
            seconds.append(time.perf_counter() - began)
            page.close()
    return summary(seconds[1:])


def visits(page, times: int = 7) -> dict[str, dict]:
    """Seconds from a click on a page's link until the page is there, after each was visited once."""
    page.set_default_timeout(300_000)  # the first visit computes
    seconds: dict[str, list[float]] = {name: [] for name in EVIDENCE}
    for _ in range(times + 1):
        for name, last in EVIDENCE.items():
            began = time.perf_counter()
            page.get_by_role("link", name=name, exact=True).click()
            page.get_by_role("heading", name=name, exact=True).wait_for()
            page.locator(last).first.wait_for()
            page.wait_for_function("document.querySelector('[data-test-script-state=notRunning]')")
            seconds[name].append(time.perf_counter() - began)
            page.wait_for_timeout(500)
    return {name: summary(taken[1:]) for name, taken in seconds.items()}


def million(page, address: str, *, network: bool, rows: int = 1_000_000) -> dict:
    """A predictions file of a million rows: seconds from 'Show the evidence' to the page, and then as ``visits``."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet((1, 1, 1), rows)
    labels = np.array(["negative", "equivocal", "positive"])[(probs + 0.5 * rng.random((rows, 3))).argmax(axis=1)]
    number = np.arange(rows)
    table = pd.DataFrame(
        {
            "patch_id": number.astype(str),
            "label": labels,
            "slide_id": (number // 50).astype(str),
            "patient_id": (number // 500).astype(str),
            "site": np.char.add("S", (number // 500 % 7).astype(str)),
        }
    )
    for i, name in enumerate(("negative", "equivocal", "positive")):
        table[f"probability_{name}"] = probs[:, i]
    if network:  # and torch, which alone takes 700 MB
        open_page(page, address, "patch")
    before = server_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.parquet"
        table.to_parquet(path, index=False)
        size = path.stat().st_size / 2**20
        open_page(page, address, "predictions")
        page.locator("input[type=file]").set_input_files(path)
        page.get_by_role("button", name="Show the evidence").wait_for(timeout=300_000)
        ready(page)
        began = time.perf_counter()
        page.get_by_role("button", name="Show the evidence").click()
        page.get_by_role("heading", name="Performance", exact=True).wait_for(timeout=300_000)
        page.locator(EVIDENCE["Performance"]).wait_for(timeout=300_000)
        first = time.perf_counter() - began
    return {
        "rows": rows,
        "file_MiB": round(size, 1),
        "first_s": round(first, 2),
        "pages": visits(page, times=5),
        "memory_before_MiB": before,
        "memory_after_MiB": server_memory(),
        "memory_peak_MiB": server_memory("VmHWM"),
    }


def summary(seconds: list[float]) -> dict:
    return {"median_s": round(statistics.median(seconds), 3), "worst_s": round(max(seconds), 3), "times": len(seconds)}


def main(which: list[str]) -> None:
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in which:
            load = os.getloadavg()[0]
            found[name] = {
                "result": first_page(browser) if name == "first" else _on_a_server(browser, name),
                "load_before": round(load, 2),
                "cores": os.cpu_count(),
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "command": f"python benchmarks/dashboard_speed.py {name}",
            }
            RESULTS.write_text(json.dumps(found, indent=2) + "\n")
            print(name, json.dumps(found[name]))
        browser.close()


def _on_a_server(browser, name: str) -> dict:
    with dashboard() as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(90_000)
        try:
            if name == "upload":
                return uploads(page, address)
            if name == "pages":
                open_page(page, address, "about")
                return visits(page)
            return million(page, address, network=name.endswith("with-network"))
        finally:
            page.close()


if __name__ == "__main__":
    main(sys.argv[1:] or ["first", "upload", "pages", "million", "million-with-network"])
