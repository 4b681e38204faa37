"""Correctness of predictions and maps for sixteen simultaneous browser sessions.

    python benchmarks/dashboard_sessions.py [SESSIONS] [SECONDS]

Each session uploads one of eight patches, reads the probabilities and fetches the overlay, asks for the map of another
class, and so on. Every result is compared with the serial one of this process: text exactly, pictures within JPEG's
error. Browser, server and the comparison share this machine, so the pace says nothing about a server.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.async_api import async_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.browser import ARGUMENTS, CHROMIUM, dashboard
from benchmarks.dashboard_speed import server_memory
from her2core import load_predictor
from her2core.data.prepare import centre_square
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png, resize_rgb
from her2core.maps.overlay import overlay
from her2core.plots.probabilities import probability_description

RESULTS = Path(__file__).parent / "results" / "dashboard_sessions.json"
#: Side of the picture and opacity as dashboard/views/patch.py shows them; largest mean difference, in grey levels, of
#: two pictures that are the same but for JPEG.
SHOWN, OPACITY, SAME = 448, 0.55, 4.0
STILL = "document.querySelector('[data-test-script-state=notRunning]')"


def serial_answers(count: int = 8) -> list[dict]:
    """Patches with the predictions and maps that a single caller gets."""
    model = load_predictor("models/demo")
    spec = CohortSpec(patients=24, patches_per_patient=1, px=224, mpp=0.4, seed=99)
    answers = []
    for i in range(count):
        image = render_patch(spec, i).image
        answer, maps = model.predict_and_explain(image)
        whole = resize_rgb(centre_square(image), SHOWN)
        answers.append(
            {
                "png": encode_png(image),
                "words": probability_description(answer.classes, answer.probabilities),
                "label": answer.label,
                "overlays": {c: overlay(whole, maps[c], opacity=OPACITY) for c in answer.classes},
            }
        )
    return answers


async def visit(browser, address: str, number: int, answers: list[dict], until: float) -> dict:
    """One session: how many answers it got, how many were wrong, and every complaint on its pages."""
    page = await browser.new_page()
    page.set_default_timeout(180_000)
    await page.goto(f"{address}/?run=demo")
    await page.get_by_text("No patch uploaded").wait_for()
    told = {"answers": 0, "maps": 0, "wrong": 0, "complaints": []}
    turn = 0
    while time.monotonic() < until:
        chosen = answers[(number + turn) % len(answers)]
        name = f"s{number} t{turn}.png"
        await page.locator("input[type=file]").first.set_input_files(
            [{"name": name, "mimeType": "image/png", "buffer": chosen["png"]}]
        )
        await page.locator(f'img[alt^="Grad-CAM for "][alt$="{name}"]').wait_for()
        await page.wait_for_function(STILL)
        said = await page.locator('[aria-label^="Calibrated probability:"]').first.get_attribute("aria-label") or ""
        told["answers"] += 1
        told["wrong"] += said.strip() != chosen["words"]
        classes = list(chosen["overlays"])
        for target in (chosen["label"], classes[(classes.index(chosen["label"]) + 1) % len(classes)]):
            if target != chosen["label"]:
                await page.get_by_role("radio", name=target, exact=True).click()
            picture = page.locator(f'img[alt^="Grad-CAM for {target},"][alt$="{name}"]')
            await picture.wait_for()
            await page.wait_for_function(STILL)
            source = await picture.get_attribute("src")
            body = await (
                await page.request.get(f"{address}{source}" if source.startswith("/") else source, max_retries=3)
            ).body()
            seen = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"), np.float32)
            told["maps"] += 1
            told["wrong"] += float(np.abs(seen - chosen["overlays"][target]).mean()) > SAME
        told["complaints"] += await page.locator('[data-testid="stAlertContentError"]').all_inner_texts()
        told["complaints"] += await page.locator('[data-testid="stException"]').all_inner_texts()
        turn += 1
        await page.get_by_text("Clear the 1 uploaded").click()
        await page.get_by_text("No patch uploaded").wait_for()
        await page.wait_for_function(STILL)
    await page.close()
    return told


async def main(sessions: int, seconds: float) -> None:
    answers = serial_answers()
    apart = min(
        float(np.abs(a["overlays"][c].astype(np.float32) - b["overlays"][c]).mean())
        for i, a in enumerate(answers)
        for b in answers[:i]
        for c in a["overlays"]
    )
    load = os.getloadavg()[0]
    with dashboard() as address:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            memory: list[float] = []

            async def watch() -> None:
                while True:
                    memory.append(server_memory())
                    await asyncio.sleep(5)

            watcher = asyncio.create_task(watch())
            until = time.monotonic() + seconds
            told = await asyncio.gather(*(visit(browser, address, n, answers, until) for n in range(sessions)))
            watcher.cancel()
            await browser.close()
        await asyncio.sleep(20)  # Streamlit lets go of closed sessions
        end = server_memory()
    result = {
        "sessions": sessions,
        "seconds": seconds,
        "answers": sum(t["answers"] for t in told),
        "maps": sum(t["maps"] for t in told),
        "wrong": sum(t["wrong"] for t in told),
        "fewest_answers_of_a_session": min(t["answers"] for t in told),
        "complaints": [c for t in told for c in t["complaints"]],
        "least_difference_of_two_patches_overlays": round(apart, 2),
        "called_the_same_below": SAME,
        "memory_MiB": {"every_5_s": memory, "after_all_left": end},
        "load_before": round(load, 2),
        "cores": os.cpu_count(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/dashboard_sessions.py {sessions} {seconds:.0f}",
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "memory_MiB"}), memory[::4], end)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(main(int(given[0]) if given else 16, float(given[1]) if len(given) > 1 else 120.0))
