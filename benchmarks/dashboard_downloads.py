"""Downloads by a dozen simultaneous browser sessions: how many fail, and how many media addresses answer 404.

    python benchmarks/dashboard_downloads.py [SESSIONS] [DOWNLOADS]

Half of the sessions download tables of the performance page and change the unit of analysis in between, half make a
case report of one synthetic sample after another on the patch page. Each file is checked for its content, and its
address is asked once more after the download. "media 200" counts every answer below /media/; a status that did not
occur is absent. A click that starts no download within 20 s is counted and made again. Browser and server share this
machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Download, Error, Page, async_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.browser import ARGUMENTS, CHROMIUM, dashboard
from her2core.notice import NOTICE

RESULTS = Path(__file__).parent / "results" / "dashboard_downloads.json"
TABLES = ("Confusion table (CSV)", "All metrics (CSV)", "Operating point (CSV)", "Map scores (CSV)")
RUNNING = "document.querySelector('[data-test-script-state=running]')"
STILL = "document.querySelector('[data-test-script-state=notRunning]')"


async def fetch(page: Page, label: str, found: Counter[str]) -> None:
    """Click a download button, read the file, and ask its address again."""
    try:
        try:
            download = await _click(page, label, 20_000)
        except Error:
            found["clicked again"] += 1
            download = await _click(page, label, 60_000)
        content = Path(await download.path()).read_bytes()
    except Error as failed:
        found[f"failed: {label}: {str(failed).splitlines()[0][:120]}"] += 1
        return
    whole = content.startswith(b"%PDF") if label.endswith("(PDF)") else NOTICE.encode() in content
    found["downloads" if whole else f"failed: {label} is {content[:40]!r}"] += 1
    again = await page.request.get(download.url, max_retries=5)
    found["404 when asked again"] += again.status == 404


async def _click(page: Page, label: str, timeout: float) -> Download:
    async with page.expect_download(timeout=timeout) as caught:
        await page.get_by_role("button", name=label, exact=True).first.click()
    return await caught.value


async def still(page: Page) -> None:
    """Wait until the script has run to its end."""
    with suppress(Error):
        await page.wait_for_function(RUNNING, timeout=2000)
    await page.wait_for_function(STILL)
    await page.wait_for_timeout(300)


async def tables(page: Page, address: str, downloads: int, found: Counter[str]) -> None:
    await page.goto(f"{address}/performance?run=demo")
    await page.get_by_role("button", name=TABLES[-1]).wait_for()
    await still(page)
    for n in range(downloads):
        await fetch(page, TABLES[n % len(TABLES)], found)
        if n % 3 == 2:
            unit, units = (("patch", "patches"), ("patient", "patients"))[n // 3 % 2]
            await page.get_by_role("radio", name=unit, exact=True).click()
            # A click while the page is still that of the run before asks for a file of that run.
            await page.get_by_text(re.compile(rf"Test set: \d+ {units}\.")).wait_for()
            await still(page)


async def reports(page: Page, address: str, downloads: int, found: Counter[str]) -> None:
    await page.goto(f"{address}/?run=demo")
    await page.get_by_text("No patch uploaded").wait_for()
    await still(page)
    for n in range(downloads):
        kind = n % 3
        if kind == 0:
            if n:
                await page.get_by_role("combobox", name="Patch", exact=True).click()
                await page.keyboard.press("ArrowDown")
                await page.keyboard.press("Enter")
                await still(page)
            await page.get_by_role("button", name="Make the case report").click()
            await page.get_by_role("button", name="Case report (PDF)").wait_for()
            await still(page)
        await fetch(page, ("Table (CSV)", "Case report (HTML)", "Case report (PDF)")[kind], found)


async def main(sessions: int, downloads: int) -> None:
    found: Counter[str] = Counter({"404 when asked again": 0})
    with dashboard() as address:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            pages = [await (await browser.new_context()).new_page() for _ in range(sessions)]
            for page in pages:
                page.set_default_timeout(120_000)
                page.on("response", lambda r: found.update([f"media {r.status}"] if "/media/" in r.url else []))
            visits = ((tables, reports)[n % 2](page, address, downloads, found) for n, page in enumerate(pages))
            await asyncio.gather(*visits)
            await browser.close()
    result = {
        "sessions": sessions,
        "downloads_each": downloads,
        "asked": sessions * downloads,
        **found,
        "cores": os.cpu_count(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/dashboard_downloads.py {sessions} {downloads}",
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(*given) if len(given) == 2 else main(12, 15))
