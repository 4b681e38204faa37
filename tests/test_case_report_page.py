"""Page of the case report: hostile text, letters, one sheet of paper, colours, equal bytes, metadata."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta, timezone

import pypdf
import pytest
from case_parts import MOMENT, TWELVE, case_html, case_pdf, not_classified, patch, pdf_text, report
from documents import Page

from her2core.io.text import clean_text
from her2core.notice import NOTICE
from her2core.report.fonts import REPLACEMENT, report_fonts
from her2core.report.render_html import style_sheet

HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    '"><script>alert(1)</script>',
    "{{ 7*7 }}{% raw %}",
    "</style></title>",
    "&lt;b&gt;&#x3c;",
    "\u202egnp.exe\u2066",
    "\U0001f9ec\U0001f600 \u6a19\u672c.png",
    "a\nb\r\n\tc\0\x1b[31m",
    "\ud800\udfff\ue000",
    "x" * 300 + ".png",
    "\u05e2\u05d1\u05e8\u05d9\u05ea 12.png",
    "Z" + "\u0351" * 90,
    "",
    "<para><b>",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_only_ever_text(name):
    case = report(name=name, notes=(name,), limits=(name,), run_title=name, model_id=name, method=name)
    case = replace(case, pictures=((name, name, patch()),), software={name: name}, synthetic=True)
    html = case_html(case)
    html.encode()
    page, usual = Page(html), Page(case_html(replace(report(synthetic=True), pictures=case.pictures)))
    assert [t for t, _, _ in page.elements] == [t for t, _, _ in usual.elements]
    assert [sorted(a) for _, a, _ in page.elements] == [sorted(a) for _, a, _ in usual.elements]
    shown = page.found("h1")[0][1]
    assert shown == (clean_text(name, 90) or "unnamed")
    assert len(shown) <= 90
    assert not re.search("[\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000]", shown)
    assert NOTICE in pdf_text(case_pdf(case))


def test_a_class_may_be_called_anything():
    classes = ("<b>a</b>", "\u0645\u0648\u062c\u0628", "B & C")
    page = Page(case_html(report(classes=classes, probabilities=(0.1, 0.2, 0.7))))
    assert tuple(text for a, text in page.found("th", scope="row"))[:3] == classes
    assert "<b>a</b>" in pdf_text(case_pdf(report(classes=classes)))


NAMES = {
    "Cyrillic and Greek": "\u041f\u0440\u0438\u0432\u0435\u0442 \u0395\u03bb",
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd",
    "Arabic": "\u0645\u0648\u062c\u0628",
    "Chinese": "\u6a19\u672c",
    "Japanese": "\u30d1\u30bf\u30fc\u30f3",
    "Korean": "\uc870\uc9c1",
}


@pytest.mark.parametrize("script", NAMES)
def test_the_pdf_writes_every_script_as_letters(script):
    """A reader finds them, and no font's replacement stands for them."""
    name = NAMES[script]
    assert report_fonts().drawable(name) == name
    made = case_pdf(report(name=f"{name} 7.png"))
    assert pypdf.PdfReader(io.BytesIO(made)).metadata.title == f"Case report: {name} 7.png"
    text = pdf_text(made)
    assert all(letter in text for letter in name.replace(" ", ""))
    assert REPLACEMENT not in text


def test_a_character_that_no_font_has_is_marked():
    assert f"{REPLACEMENT} 7.png" in pdf_text(case_pdf(report(name="\U0001f9ec 7.png")))
    assert report_fonts().drawable("a\u0301\U0001f9ec") == f"a\u0301{REPLACEMENT}"
    # A letter with a mark that its own font lacks cannot be shaped; both remain, the mark as replaced.
    letter = "\u6a19\u05b8"
    assert report_fonts().drawable(letter) == f"\u6a19{REPLACEMENT}"


WORDS = "Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt. " * 5
FULL = {
    "usual": report(),
    "twelve classes": report(
        TWELVE,
        (0.02,) * 11 + (0.78,),
        notes=tuple(f"note {i} {WORDS[:120]}" for i in range(6)),
        limits=tuple(f"limit {i} {WORDS[:200]}" for i in range(5)),
    ),
    "long words": report(
        tuple(f"{'W' * 60}{i}" for i in range(20)),
        (0.05,) * 20,
        notes=("W" * 400,) * 20,
        limits=("W" * 400,) * 20,
        name="W" * 300,
        run_title="W" * 300,
        model_id="W" * 300,
        method="W" * 300,
        synthetic=True,
        software={f"{'W' * 40}{i}": "W" * 40 for i in range(20)},
    ),
    "long sentences": report(notes=(WORDS,) * 20, limits=(WORDS,) * 20, name=WORDS, run_title=WORDS, synthetic=True),
}


@pytest.mark.parametrize("which", FULL)
def test_pdf_is_one_page_however_full(which):
    text = pdf_text(case_pdf(replace(FULL[which], reservation=WORDS)))
    assert text.count(NOTICE) == 2
    if which == "twelve classes":
        assert all(c in text for c in TWELVE)
        assert all(f"note {i} {WORDS[:120].strip()}" in text for i in range(6))
        assert all(f"limit {i} {WORDS[:200].strip()}" in text for i in range(5))
    if which == "long words":
        assert "9 further classes together 45.0 %" in text
        assert "And 14 further limits; the run's card lists all." in text


def test_html_prints_on_one_page_and_the_policy_lets_its_own_style_in(browser, tmp_path):
    for which, case in FULL.items():
        page, said = browser.new_page(), []
        page.on("console", lambda message, said=said: said.append(message.text))
        (tmp_path / "case.html").write_text(case_html(case), encoding="utf-8")
        page.goto((tmp_path / "case.html").as_uri())
        printed = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
        assert len(printed.pages) == 1 or which != "usual"
        assert said == []
        assert page.evaluate("getComputedStyle(document.querySelector('.share')).display") == "flex"
        assert page.evaluate("document.querySelector('rect').getBoundingClientRect().width") > 0
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        page.close()


def test_colours_are_legible_in_light_and_dark():
    def luminance(colour):
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a, b):  # WCAG 2.2, 1.4.3
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    schemes = re.findall(r":root \{[^}]*--page:[^}]*\}", style_sheet())
    assert len(schemes) == 2
    for scheme in schemes:
        c = dict(re.findall(r"--([\w-]+): (#\w{6})", scheme))
        grounds = [(text, "page") for text in ("ink", "muted", "accent")]
        grounds += [(tone, f"{tone}-ground") for tone in ("good", "limits", "bad", "unknown")]
        for text, behind in grounds:
            assert contrast(c[text], c[behind]) >= 4.5, (text, behind)


def test_equal_reports_give_equal_bytes_in_threads_too():
    cases = [report(), not_classified(), FULL["twelve classes"]]
    alone = [(case_html(c), case_pdf(c)) for c in cases]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda i: (case_html(cases[i % 3]), case_pdf(cases[i % 3])), range(12)))
    assert all(m == alone[i % 3] for i, m in enumerate(made))
    assert case_pdf(report(created=MOMENT + timedelta(days=1))) != alone[0][1]


def test_pdf_metadata_and_tags():
    east = timezone(timedelta(hours=5, minutes=30))
    found = pypdf.PdfReader(io.BytesIO(case_pdf(report(created=MOMENT.astimezone(east), synthetic=True))))
    assert found.metadata.title == "Case report: sample 3.png (synthetic)"
    assert not found.metadata.author
    assert found.metadata.subject == NOTICE
    assert found.metadata.creation_date == MOMENT
    root = found.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert b"<pdfuaid:part>1</pdfuaid:part>" in root["/Metadata"].get_data()
    (page,) = found.pages
    embedded = {str(f.get_object()["/BaseFont"]).split("+")[1] for f in page["/Resources"]["/Font"].values()}
    assert {name.split("-")[0] for name in embedded} <= {"SourceSansPro", "DejaVuSans"}
    alternatives = [e["/Alt"] for e in elements(root["/StructTreeRoot"]) if e.get("/S") == "/Figure" and "/Alt" in e]
    assert set(alternatives) == {alt for _, alt, _ in report().pictures}


def elements(node) -> list[dict]:
    """Every element of a PDF's structure tree."""
    kids = node.get("/K", [])
    kids = kids if isinstance(kids, list) else [kids]
    found = [kid.get_object() for kid in kids if hasattr(kid.get_object(), "get")]
    return [*found, *(inner for kid in found for inner in elements(kid))]
