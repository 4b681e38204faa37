"""Run report: all figures present, missing ones explained, hostile text inert."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pypdf
import pytest
from cohorts import read, table
from documents import Page, pages

from her2core import open_run
from her2core.data.splits import PATCH_RANDOM_WARNING
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.predictions import read_predictions
from her2core.evidence.verdict.rules import SUPPORTS
from her2core.evidence.weak_slices import weak_slices_sentence
from her2core.notice import NOTICE
from her2core.report.document import CELL, Chart, Grid, Words
from her2core.report.render_html import themed
from her2core.report.run_document import SYNTHETIC, report_document
from her2core.report.run_download import render_report
from her2core.report.run_report import RunReport, predictions_report, run_report
from her2core.report.run_tables import figure
from her2core.report.sections import TITLES
from her2core.report.sections_groups import subgroups

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def demo() -> RunReport:
    return run_report(open_run(ROOT / "models" / "demo"), pictures=True)


@pytest.fixture(scope="module")
def html(demo) -> str:
    return render_report(demo).html().decode()


@pytest.fixture(scope="module")
def pdf(demo) -> bytes:
    return render_report(demo).pdf()


@pytest.fixture(scope="module")
def plain() -> str:
    return render_report(predictions_report(read(site="one"), name="plain", resamples=100)).html().decode()


# every figure is there


def cells(document, key: str) -> list[str]:
    (section,) = [s for s in document.sections if s.key == key]
    return [cell for block in section.blocks if isinstance(block, Grid) for row in block.rows for cell in row]


@pytest.mark.parametrize("name", ["demo", "tissue12", "her2st-erbb2", "study/demo-resnet50"])
def test_every_metric_of_the_run_stands_in_its_report(name):
    run = open_run(ROOT / "models" / name)
    report = run_report(run)
    held = cells(report_document(report), "performance")
    for row in report.evaluation.metrics.itertuples():
        told = figure(row.value, row.lower_95, row.upper_95)
        assert any(re.fullmatch(re.escape(told) + r"( \([a-z]+\))?", cell) for cell in held), row


def test_each_figure_is_where_its_row_and_column_say(demo):
    document = report_document(demo)
    metrics = demo.evaluation.metrics.set_index(["unit", "metric", "class"])
    (section,) = [s for s in document.sections if s.key == "performance"]
    grids = [b for b in section.blocks if isinstance(b, Grid)]
    recall = next(g for g in grids if "by patient" in g.caption and metric_label("recall") in g.head)
    row = metrics.loc[("patient", "recall", "equivocal")]
    assert recall.rows[1][0] == "equivocal"
    assert recall.rows[1][recall.head.index(metric_label("recall"))].startswith(
        figure(row.value, row.lower_95, row.upper_95)
    )
    overall = grids[0]
    kappa = next(r for r in overall.rows if r[0].startswith("Quadratic kappa"))
    row = metrics.loc[("slide", "quadratic_kappa", "")]
    assert kappa[overall.head.index("by slide")].startswith(figure(row.value, row.lower_95, row.upper_95))
    confusion = demo.evaluation.confusion.query("unit == 'patch' and true == 'equivocal' and predicted == 'negative'")
    matrix = next(g for g in grids if g.caption.startswith("Confusion matrix by patch"))
    assert matrix.rows[1][1] == f"{confusion['count'].iloc[0]} ({100 * confusion['proportion_of_true'].iloc[0]:.1f} %)"


def test_every_section_is_there_and_can_be_reached(html):
    page = Page(html)
    anchors = {a["id"] for t, a, _ in page.elements if t == "section" and "id" in a}
    assert anchors == set(TITLES)
    assert {a["href"] for t, a, _ in page.elements if t == "a"} == {f"#{key}" for key in TITLES}
    assert [re.sub(r"^\d+\. ", "", h) for h in page.all("h2") if h[0].isdigit()] == list(TITLES.values())
    assert len(page.all("h1")) == 1


def test_read_and_recomputed_figures_are_the_same(tiny_run):
    read_, fresh = run_report(tiny_run), run_report(tiny_run, fresh=True)
    assert "read, not recomputed" in read_.origin
    assert "were computed" in fresh.origin
    a, b = (report_document(r) for r in (read_, fresh))
    for one, other in zip(a.sections[:-1], b.sections[:-1], strict=True):
        assert one == other, one.key


def test_a_run_from_before_the_tables_is_computed(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "older")
    (folder / "evaluation" / "subgroups.csv").unlink()
    assert "were computed" in run_report(open_run(folder)).origin


def test_weak_slices_stand_under_the_subgroups_where_they_were_searched(demo):
    rows = demo.table("weak_slices", "patch")
    blocks = subgroups(demo).blocks
    grid = next(b for b in blocks if isinstance(b, Grid) and b.caption.startswith("Subsets of lower accuracy by patch"))
    assert [row[0] for row in grid.rows] == rows["subset"].head(10).tolist()
    assert grid.rows[0][3:5] == (figure(rows["value"][0]), figure(rows["rest"][0]))
    assert Words(weak_slices_sentence(rows)) in blocks
    without = {**demo.result_tables, "weak_slices": demo.result_tables["weak_slices"].iloc[:0]}
    assert Words("Weak slices", "strong") in blocks
    assert Words("Weak slices", "strong") not in subgroups(replace(demo, result_tables=without)).blocks


# what must be seen first


def test_warnings_stand_before_any_number_and_on_every_page_of_the_pdf():
    report = run_report(open_run(ROOT / "models" / "tissue12"))
    rendered = render_report(report)
    document = rendered.document
    assert document.sections[0].key == "verdict"
    assert document.sections[0].blocks[0].text == "Can this number be believed? No."
    assert any("not a HER2 status" in w for w in document.warnings)
    assert document.flags == (
        "Not a HER2 status",
        "Random patch split",
        "Partitions not shown to be disjoint by patient",
        "Intervals resample single patches",
    )
    text = Page(rendered.html().decode()).text
    assert text.index("Random patch split") < text.index("2. Summary")
    assert text[: text.index("2. Summary")].count(PATCH_RANDOM_WARNING) == 1, "said once before the first figure"
    found = pages(rendered.pdf())
    assert len(found) > 5
    for number, page in enumerate(found, start=1):
        assert page.startswith(NOTICE)
        assert "Random patch split; Partitions not shown to be disjoint by patient" in page
        assert f"page {number} of {len(found)}" in page


def test_a_synthetic_run_says_so_on_every_page(demo, html, pdf):
    assert Page(html).text.startswith(f"her2core run report {NOTICE}")
    assert NOTICE in html[html.index("<footer>") :]
    assert SYNTHETIC in Page(html).text
    assert all("Synthetic data" in page and page.startswith(NOTICE) for page in pages(pdf))
    assert "diagnosis" not in html.lower()


# self-contained, safe, the same twice


def test_the_html_fetches_nothing_and_runs_nothing(html):
    page = Page(html)
    assert {t for t, _, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base", "form", "use"})
    for _, attributes, _ in page.elements:
        assert not [n for n in attributes if n.startswith("on") or n in ("style", "srcset", "xlink:href")]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/")
    assert not re.search(r"javascript:|url\(|@import", html)
    assert "http" not in re.sub(r"http-equiv", "", html.split("<main>")[0])
    (policy,) = [a["content"] for t, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:"]
    figures = [a for t, a, _ in page.elements if t == "img" and a.get("class") != "mark"]
    assert len(figures) > 10
    assert all(len(a["alt"]) > 20 for a in figures), "a figure without words"
    assert all(a.get("scope") in ("row", "col") for t, a, _ in page.elements if t == "th")


def test_figures_are_drawings_that_follow_the_page_and_run_nothing(demo):
    charts = [c for c in render_report(demo).document.figures if isinstance(c, Chart)]
    assert len(charts) > 10
    for chart in charts:
        drawn = themed(chart.svg).decode()
        root = ElementTree.fromstring(drawn)
        names = {element.tag.split("}")[1] for element in root.iter()}
        assert names <= {"svg", "defs", "style", "g", "path", "text", "tspan", "use", "clipPath", "rect"}, names
        assert "prefers-color-scheme:dark" in drawn
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
    (roc, *_) = [c for c in charts if c.caption.startswith("ROC by patch")]
    words = [e.text for e in ElementTree.fromstring(roc.svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"sensitivity", "1 - specificity"} <= set(words)
    assert any(word.startswith("negative 0.") for word in words)


def test_the_pdf_has_bookmarks_links_tags_and_one_page_of_verdict(demo, pdf):
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    assert [mark.title for mark in reader.outline] == [f"{i}. {t}" for i, t in enumerate(TITLES.values(), 1)]
    assert demo.verdict.headline in pages(pdf, first=1)[0]
    links = [a.get_object() for page in reader.pages for a in page.get("/Annots", [])]
    assert len([link for link in links if link["/Subtype"] == "/Link"]) >= len(TITLES)
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert b"<pdfuaid:part>1</pdfuaid:part>" in root["/Metadata"].get_data()


def test_the_summary_is_one_page_with_verdict_grades_and_questions(demo):
    for report in (demo, run_report(open_run(ROOT / "models" / "tissue12"))):
        (page,) = pages(render_report(report).summary())
        text = page.replace("\u00a0", " ")
        assert text.startswith(NOTICE)
        assert report.verdict.headline in text
        assert report.verdict.sentence in text
        assert text.index("Before reading any number") < text.index(report.verdict.headline)
        assert all(aspect.title in text and aspect.grade in text for aspect in report.verdict.aspects)
        assert "Questions to discuss" in text
        assert "TRIPOD+AI 2024: " in text
        first = next(a for a in report.verdict.aspects if a.grade != SUPPORTS)
        assert first.about.question in text


def test_equal_input_gives_equal_bytes(demo, html, pdf):
    again = run_report(open_run(ROOT / "models" / "demo"), pictures=True)
    rendered = render_report(again)
    assert rendered.html().decode() == html
    assert rendered.pdf() == pdf


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "{{ 7*7 }}{% raw %}",
    "</style></title>",
    "\u202egnp.exe\u2066",
    "\U0001f9ec \u6a19\u672c",
    "a\nb\r\t\0\x1b[31m",
    "\ue000",
    "x" * 500,
    "\u05e2\u05d1\u05e8\u05d9\u05ea 12",
    "<para><b>",
    "=1+1",
    "Z" + "\u0351" * 90,
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_only_ever_text(name, plain):
    frame = table(site=name, patient_id=[f"{name}{i % 36}" for i in range(360)])
    frame["slide_id"] = frame["patient_id"]
    classes = ("negative", f"equivocal {name}", "positive")
    frame = frame.rename(columns={"logit_equivocal": f"logit_{classes[1]}"})
    frame = frame.replace({"label": {"equivocal": classes[1]}})
    report = predictions_report(read_predictions(frame, classes=classes), name=name, resamples=20)
    report = replace(report, warnings=(name,))
    rendered = render_report(report)
    text = rendered.html().decode()
    page = Page(text)
    assert {t for t, _, _ in page.elements} == {t for t, _, _ in Page(plain).elements}
    assert "alert(1)" not in [a for _, attributes, _ in page.elements for a in attributes]
    shown = page.all("h1")[0]
    assert len(shown) <= 90
    forbidden = "[\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000]"
    assert not re.search(forbidden, text.replace("\n", ""))
    assert all(len(cell) <= CELL for cell in page.all("td"))
    assert pages(rendered.pdf(), first=1)[0].startswith(NOTICE)


def test_the_policy_lets_its_own_style_and_figures_in(browser, html, tmp_path):
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    for scheme in ("light", "dark"):
        page, said = browser.new_page(color_scheme=scheme), []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto((tmp_path / "report.html").as_uri())
        assert said == []
        assert page.evaluate("getComputedStyle(document.querySelector('.answer')).borderLeftWidth") == "5px"
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.close()


def test_it_can_be_read_by_everybody(browser, html, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core's client is not installed")
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    for scheme in ("light", "dark"):
        context = browser.new_context(bypass_csp=True, color_scheme=scheme)  # axe is a script; the report allows none
        page = context.new_page()
        page.goto((tmp_path / "report.html").as_uri())
        found = axe.Axe().run(page).response["violations"]
        assert [(v["id"], len(v["nodes"])) for v in found] == []
        context.close()


# pictures


def test_pictures_are_shown_when_asked_for_and_otherwise_said(demo):
    assert len(demo.pictures) == 8
    assert "generated again" in demo.pictures_note
    plain = run_report(demo.run)
    assert plain.pictures == ()
    html = render_report(plain).html().decode()
    assert "data:image/png" not in html
    assert "on request only" in html


def test_pictures_that_are_not_available_are_reported(tmp_path):
    report = run_report(open_run(ROOT / "models" / "tissue12"), pictures=True, base=tmp_path)
    assert report.pictures == ()
    assert report.pictures_note.startswith("No images are available.")
