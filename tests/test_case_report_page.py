"""Page of the case report: hostile text, letters, one sheet of paper, colours, equal bytes, metadata."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta, timezone

import pypdf
import pytest
from case_parts import MOMENT, TWELVE, not_classified, patch, pdf_text, report
from documents import Page

from her2core.io.text import clean_text
from her2core.notice import NOTICE
from her2core.report.case_html import render_html
from her2core.report.case_pdf import render_pdf
from her2core.report.lettering import drawable, visual

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
    html = render_html(case)
    html.encode()
    page, usual = Page(html), Page(render_html(replace(report(synthetic=True), pictures=case.pictures)))
    assert [t for t, _, _ in page.elements] == [t for t, _, _ in usual.elements]
    assert [sorted(a) for _, a, _ in page.elements] == [sorted(a) for _, a, _ in usual.elements]
    shown = page.found("h1")[0][1]
    assert shown == (clean_text(name, 90) or "unnamed")
    assert len(shown) <= 90
    assert not re.search("[\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000]", shown)
    assert NOTICE in pdf_text(render_pdf(case))


def test_a_class_may_be_called_anything():
    classes = ("<b>a</b>", "\u0645\u0648\u062c\u0628", "B & C")
    page = Page(render_html(report(classes=classes, probabilities=(0.1, 0.2, 0.7))))
    assert tuple(text for a, text in page.found("th", scope="row"))[:3] == classes
    assert "<b>a</b>" in pdf_text(render_pdf(report(classes=classes)))


def test_letters_of_the_pdf():
    cyrillic_and_greek = "\u041f\u0440\u0438\u0432\u0435\u0442 \u0395\u03bb"
    assert cyrillic_and_greek in pdf_text(render_pdf(report(name=cyrillic_and_greek)))
    assert "\ufffd\ufffd.png" in pdf_text(render_pdf(report(name="\u6a19\u672c.png")))
    assert drawable("a\u6a19", frozenset(map(ord, "a"))) == "a\ufffd"
    # As UAX 9 has it: right-to-left words turn round, numbers in them do not, and all else keeps its place.
    shalom, molahs = "\u05e9\u05dc\u05d5\u05dd", "\u05dd\u05d5\u05dc\u05e9"
    assert visual(f"a {shalom} b.png") == f"a {molahs} b.png"
    assert visual(f"{shalom} 12.5.png") == f"12.5 {molahs}.png"
    assert visual(f"({shalom} (1) {shalom})") == f"({molahs} (1) {molahs})"
    assert visual("\u05d0\u05b8\u05d1") == "\u05d1\u05d0\u05b8"
    assert visual("plain 12 (a)") == "plain 12 (a)"


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
    text = pdf_text(render_pdf(FULL[which]))
    assert text.count(NOTICE) == 2
    if which == "twelve classes":
        assert all(c in text for c in TWELVE)
        assert all(f"note {i} {WORDS[:120].strip()}" in text for i in range(6))
        assert all(f"limit {i} {WORDS[:200].strip()}" in text for i in range(5))
    if which == "long words":
        assert "9 further classes together 45.0 %" in text
        assert "And 14 further limits; the run's card lists all." in text


def test_html_prints_on_one_page_however_full_and_the_policy_lets_its_own_style_in(browser, tmp_path):
    for case in FULL.values():
        page, said = browser.new_page(), []
        page.on("console", lambda message, said=said: said.append(message.text))
        (tmp_path / "case.html").write_text(render_html(case), encoding="utf-8")
        page.goto((tmp_path / "case.html").as_uri())
        printed = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
        assert len(printed.pages) == 1
        assert said == []
        assert page.evaluate("getComputedStyle(document.querySelector('.fill')).display") == "block"
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

    schemes = re.findall(r":root \{[^}]*--page:[^}]*\}", render_html(report()))
    assert len(schemes) == 2
    for scheme in schemes:
        c = dict(re.findall(r"--([\w-]+): (#\w{6})", scheme))
        for text, behind in (("text", "page"), ("muted", "page"), ("accent", "page"), ("note-text", "note")):
            assert contrast(c[text], c[behind]) >= 4.5
        assert (
            min(contrast(c["bar"], c["track"]), contrast(c["accent"], c["track"]), contrast(c["bar"], c["page"])) >= 3
        )


def test_equal_reports_give_equal_bytes_in_threads_too():
    cases = [report(), not_classified(), FULL["twelve classes"]]
    alone = [(render_html(c), render_pdf(c)) for c in cases]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda i: (render_html(cases[i % 3]), render_pdf(cases[i % 3])), range(12)))
    assert all(m == alone[i % 3] for i, m in enumerate(made))
    assert render_pdf(report(created=MOMENT + timedelta(days=1))) != alone[0][1]


def test_pdf_metadata():
    east = timezone(timedelta(hours=5, minutes=30))
    found = pypdf.PdfReader(io.BytesIO(render_pdf(report(created=MOMENT.astimezone(east), synthetic=True))))
    assert found.metadata.title == "Case report: sample 3.png (synthetic)"
    assert not found.metadata.author
    assert found.metadata.subject == NOTICE
    assert found.metadata["/CreationDate"] == found.metadata["/ModDate"] == "D:20260304155205+05'30'"
    assert found.metadata.creation_date == MOMENT
    assert found.trailer["/Root"]["/Lang"] == "en"
    (page,) = found.pages
    assert {
        str(f.get_object()["/BaseFont"]).split("+")[1]
        for f in page["/Resources"]["/Font"].values()
        if "DejaVu" in str(f.get_object()["/BaseFont"])
    } == {"DejaVuSans", "DejaVuSans-Bold"}
