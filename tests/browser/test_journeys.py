"""Journeys of a visitor in a real browser with the released demo run; synthetic patches only."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.browser import PAGES, dashboard, errors, open_page, ready, upload
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=90_000)
SPEC = CohortSpec(patients=6, patches_per_patient=1, px=224, mpp=0.4, seed=33)


@pytest.fixture(scope="module")
def patch() -> bytes:
    return encode_png(render_patch(SPEC, 0).image)


def downloaded(page, label: str) -> bytes:
    with page.expect_download() as caught:
        page.get_by_role("button", name=label).first.click()
    return Path(caught.value.path()).read_bytes()


def test_a_newcomer_gets_the_first_answer_with_one_click(page, server):
    open_page(page, server, "home")
    expect(page.get_by_role("link", name=re.compile("^(Look at a patch|Review pred|Compare net)"))).to_have_count(3)
    box = page.get_by_role("img", name="A synthetic patch of class positive").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # the card's link covers the picture
    page.get_by_role("img", name=re.compile("Grad-CAM for .*laid over the patch synthetic positive")).wait_for()
    assert page.locator("h1").first.inner_text() == "Patch"
    expect(page.get_by_text("Prediction set at 90%")).to_have_count(1)
    assert errors(page) == []


def test_upload_prediction_map_report(page, server, patch):
    open_page(page, server, "patch")
    upload(page, ("mine.png", patch))
    page.get_by_text("Clear the 1 uploaded").wait_for()
    ready(page)
    expect(page.get_by_role("img", name=re.compile("Grad-CAM for .*laid over"))).to_have_count(1)
    page.get_by_role("radio", name="All classes").click()
    page.get_by_role("img", name=re.compile("for equivocal.*laid over")).wait_for()
    ready(page)
    expect(page.get_by_role("img", name=re.compile("Grad-CAM for .*laid over"))).to_have_count(3)
    page.get_by_role("button", name="Make the case report").click()
    page.get_by_role("button", name="Case report (PDF)").wait_for()
    html = downloaded(page, "Case report (HTML)").decode()
    assert "mine.png" in html
    assert "Research use only" in html
    assert "<script" not in html
    assert downloaded(page, "Case report (PDF)").startswith(b"%PDF")
    assert downloaded(page, "Overlay (PNG)").startswith(b"\x89PNG")
    page.get_by_text("Clear the 1 uploaded").click()
    page.get_by_text("No patch uploaded").wait_for()
    ready(page)
    upload(page, ("next.png", patch))
    page.get_by_role("img", name=re.compile("laid over the patch next.png")).first.wait_for()
    expect(page.get_by_text("Clear the 1 uploaded")).to_have_count(1)
    assert errors(page) == []


def test_what_was_uploaded_is_still_there_after_another_page(page, server, patch):
    open_page(page, server, "patch")
    upload(page, ("kept.png", patch), ("kept too.png", patch))
    page.get_by_text("Clear the 2 uploaded").wait_for()
    ready(page)
    page.get_by_role("link", name="About").click()
    page.get_by_role("heading", name="About", exact=True).wait_for()
    page.get_by_role("link", name="Patch", exact=True).click()
    page.get_by_text("Clear the 2 uploaded").wait_for()


def test_performance_cell_patches_and_on_to_the_patch_page(page, server):
    open_page(page, server, "performance", unit="patch")
    page.locator(".js-plotly-plot").first.wait_for()
    page.wait_for_timeout(1000)
    cells = page.locator(".js-plotly-plot .draglayer .nsewdrag").first
    cells.scroll_into_view_if_needed()  # the verdict stands above it
    box = cells.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 6)  # first row, middle column
    page.get_by_text("Open on the patch page").first.wait_for()
    assert "cell=negative+as+equivocal" in page.url.replace("%20", "+")
    ready(page)
    assert page.get_by_role("img", name=re.compile("Grad-CAM map for equivocal")).count() >= 1
    page.get_by_role("link", name="Open on the patch page").first.click()
    page.get_by_text("of this model's data").wait_for()
    ready(page)
    assert "patch=SYN" in page.url
    assert errors(page) == []


def test_a_link_keeps_run_unit_and_cell(page, server):
    open_page(page, server, "performance", run="tissue12", unit="patch", cell="Tumor as Stroma")
    page.get_by_text("of true class Tumor, predicted Stroma.").wait_for()
    open_page(page, server, "performance", unit="slide")
    page.get_by_text(re.compile(r"Test set: 34 slides")).wait_for()
    page.get_by_role("link", name="Errors").click()
    page.get_by_role("heading", name="Errors", exact=True).wait_for()
    page.get_by_role("link", name="Performance").click()
    page.get_by_text(re.compile(r"Test set: 34 slides")).wait_for()


def test_your_predictions(page, server):
    open_page(page, server, "predictions")
    table = pd.DataFrame(
        {
            "case": [f"P{i // 4}" for i in range(80)],
            "her2": ["neg", "pos"] * 40,
            "p_neg": [0.8, 0.3] * 40,
            "p_pos": [0.2, 0.7] * 40,
        }
    )
    table.loc[0, ["p_neg", "p_pos"]] = [0.1, 0.9]
    page.locator("input[type=file]").set_input_files(
        [{"name": "theirs.csv", "mimeType": "text/csv", "buffer": table.to_csv(index=False).encode()}]
    )
    page.get_by_role("button", name="Show the evidence").click()
    page.get_by_role("heading", name="Performance", exact=True).wait_for()
    page.get_by_text("98.8%").first.wait_for()
    page.get_by_role("link", name="Errors").click()
    page.get_by_text("1 patch", exact=False).first.wait_for()
    ready(page)
    assert errors(page) == []


def test_batch_of_a_folder(page, server):
    open_page(page, server, "batch")
    page.get_by_role("tab", name="Folder on the server").click()
    page.get_by_role("button", name="Predict").locator("visible=true").click()
    page.get_by_text(re.compile("^4 files of")).wait_for()
    ready(page)
    parquet = downloaded(page, "Parquet")
    assert len(pd.read_parquet(io.BytesIO(parquet))) == 4


def test_two_users_at_once_see_their_own(browser, server, patch):
    other = encode_png(render_patch(SPEC, 4).image)
    people = [browser.new_context().new_page() for _ in range(2)]
    for person, run in zip(people, ("demo", "tissue12"), strict=True):
        person.set_default_timeout(90_000)
        open_page(person, server, "patch", run=run)
    for person, (name, data) in zip(people, (("first.png", patch), ("second.png", other)), strict=True):
        upload(person, (name, data), (f"again {name}", data))
    for person, own, others, label in (
        (people[0], "first.png", "second.png", "equivocal"),
        (people[1], "second.png", "first.png", "No reliable answer"),
    ):
        person.get_by_text("Clear the 2 uploaded").wait_for()
        ready(person)
        text = person.locator("body").inner_text()
        assert own in text
        assert others not in text
        assert label in text
        assert errors(person) == []
        person.context.close()


def test_a_cold_deep_link_meets_the_sign_in(browser, page, tmp_path):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        '[auth]\nredirect_uri = "http://127.0.0.1/oauth2callback"\ncookie_secret = "not a secret, a test"\n'
        'client_id = "x"\nclient_secret = "x"\n'
        'server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"\n'
    )
    with dashboard(STREAMLIT_SECRETS_FILES=str(secrets)) as address:
        for name in PAGES:
            page.goto(f"{address}/{PAGES[name]}?run=demo")
            page.get_by_role("button", name="Sign in").wait_for()
            text = page.locator("body").inner_text()
            assert "Please sign in to use this dashboard." in text
            assert "Model" not in text
            assert "negative" not in text
        for path in ("media/0.png", "_stcore/metrics", "_stcore/host-config"):
            assert page.request.get(f"{address}/{path}").status == 401
        assert page.request.put(f"{address}/_stcore/upload_file/a/b", data=b"x").status == 401
        assert page.request.get(f"{address}/_stcore/health", headers={"Host": "elsewhere.example"}).status == 400


def test_a_phone_opens_the_patch_page(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(90_000)
    open_page(page, server, "patch")
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    context.close()
    assert wide <= 390


def test_names_from_outside_are_shown_as_they_are(page, server):
    """Markdown, emoji names, links and tags in a table's class names: text on the page, and nothing else."""
    name = "**a** :smile: [b](http://c.d) www.e.f <b>g</b>"
    rows = "".join(f"{name if i % 2 else 'other'},{0.2 + i / 100:.2f},{0.8 - i / 100:.2f}\n" for i in range(40))
    open_page(page, server, "predictions")
    table = f'label,"probability_{name}",probability_other\n{rows}'.encode()
    page.locator("input[type=file]").set_input_files({"name": "t.csv", "mimeType": "text/csv", "buffer": table})
    page.get_by_role("button", name="Show the evidence").click()
    page.get_by_role("heading", name="Performance", exact=True).wait_for()
    ready(page)
    words = page.locator('[aria-label*="Confusion matrix, correctly classified"]').first.get_attribute("aria-label")
    assert name in words.replace("\u200c", "")
    assert page.locator("main a[href*='c.d'], main a[href*='e.f'], main strong:text-is('a')").count() == 0
    assert errors(page) == []


@pytest.mark.parametrize("name", ["patch", "performance"])
def test_the_first_visitor_of_a_server_may_come_by_a_deep_link(browser, name):
    """Nothing was asked of the server before: it must know its pages all the same."""
    with dashboard() as address:
        page = browser.new_page()
        open_page(page, address, name)
        assert page.locator("h1").first.inner_text().lower() == name
        assert page.get_by_role("dialog").count() == 0
        assert errors(page) == []
        page.close()


def test_the_evidence_goes_onto_paper(page, server):
    """Performance, then the report of the run as HTML and PDF; and the tables of the pages beside it."""
    open_page(page, server, "performance", unit="patient")
    page.get_by_role("tab", name="Report").click()
    page.get_by_role("button", name="Make the report").click()
    page.get_by_role("button", name="Report (PDF)").wait_for()
    html = downloaded(page, "Report (HTML)").decode()
    assert "Research use only" in html
    assert "TRIPOD" in html
    assert "<script" not in html
    assert downloaded(page, "Report (PDF)").startswith(b"%PDF")
    for name, label in (("Calibration", "All calibration metrics (CSV)"), ("Subgroups", "All subgroups (CSV)")):
        page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", name=name, exact=True).wait_for()
        ready(page)
        table = pd.read_csv(io.BytesIO(downloaded(page, label)))
        assert {"value", "lower_95", "upper_95", "notice"} <= set(table)
    assert errors(page) == []
