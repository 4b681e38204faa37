"""Case report: HTML and PDF agree with the prediction, fit one page, and keep hostile text inert."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from her2core import load_predictor, open_run
from her2core.data.prepare import FLAGS
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import EvaluationError, ImageError
from her2core.inference.prediction import Prediction
from her2core.io.text import clean_text
from her2core.notice import NOTICE
from her2core.report.case import CaseReport, case_report
from her2core.report.case_html import render_html
from her2core.report.case_page import percent
from her2core.report.case_pdf import render_pdf
from her2core.report.lettering import drawable, visual

pypdf = pytest.importorskip("pypdf", reason="pypdf (requirements-test.txt) is not installed")

ROOT = Path(__file__).resolve().parents[1]
THREE, TWELVE = ("negative", "equivocal", "positive"), tuple(f"tissue class {i}" for i in range(12))
MOMENT = datetime(2026, 3, 4, 10, 22, 5, tzinfo=UTC)
VOID = {"meta", "img", "br"}


@cache
def patch(seed: int = 1, side: int = 64) -> np.ndarray:
    return render_patch(CohortSpec(patients=6, patches_per_patient=1, px=side, seed=seed), 0).image


def report(classes=THREE, probabilities=(0.02, 0.18, 0.8), **changes) -> CaseReport:
    pictures = [("Patch", "The patch", patch(1)), ("Stain normalised", "What the network saw", patch(2))]
    pictures += [(f"Grad-CAM for {c}, 7 x 7 cells", f"Map for {c}", patch(3)) for c in classes]
    label = classes[int(np.argmax(probabilities))]
    plain = CaseReport(
        name="sample 3.png",
        created=MOMENT,
        model_id="demo@b06ce632cc47",
        run_title="Synthetic demo cohort",
        label=label,
        classes=classes,
        probabilities=probabilities,
        prediction_set=tuple(c for c in classes if c == label or c in classes[-2:]),
        coverage=0.9,
        notes=("The patch is not square.",),
        limits=("A limit.",),
        synthetic=False,
        method="Grad-CAM",
        pictures=tuple(pictures),
        temperature=1.0817,
        input_px=112,
        mpp=0.25,
        software={"her2core": "0.1.0"},
    )
    return replace(plain, **changes)


@cache
def load_card() -> dict:
    return open_run(ROOT / "models" / "demo").card


def not_classified(**changes) -> CaseReport:
    given = {"prediction_set": None, "coverage": None, **changes}
    return report(label=None, probabilities=(0.02, 0.18, 0.8), reason="The patch is blank.", **given)


class Document(HTMLParser):
    """Every element with its attributes and all of its text; complains about tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self.open: list[int] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag):
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data):
        for i in self.open:
            self.elements[i][2].append(data)

    def all(self, tag: str, **wanted) -> list[tuple[dict, str]]:
        found = [(a, "".join(text).strip()) for t, a, text in self.elements if t == tag]
        return [(a, text) for a, text in found if wanted.items() <= a.items()]

    @property
    def text(self) -> str:
        return self.all("body")[0][1].replace("\u00a0", " ")


def pdf_text(made: bytes) -> str:
    """The words of the one page, and none of them beyond its margins."""
    (page,) = pypdf.PdfReader(io.BytesIO(made)).pages
    assert [round(float(n)) for n in page.mediabox] == [0, 0, 595, 842]
    places = []

    def visit(text, cm, tm, *_):
        if text.strip():
            places.append(tm[4] * cm[1] + tm[5] * cm[3] + cm[5])

    words = page.extract_text(visitor_text=visit)
    assert 25 < min(places) < max(places) < 817
    return " ".join(words.replace("\u00a0", " ").split())


def both(case: CaseReport) -> tuple[str, str]:
    return " ".join(Document(render_html(case)).text.split()), pdf_text(render_pdf(case))


def test_numbers_are_the_predictions():
    answer = Prediction(
        "a.png",
        THREE,
        (0.0213, 0.1787, 0.8),
        ("cropped",),
        {},
        "run@0123",
        prediction_set=("equivocal", "positive"),
        coverage=0.95,
    )
    scheme = {"is_her2": False, "meaning": "folders"}
    card = {"title": "T", "limits": ["its limit"], "scheme": scheme, "temperature": 1.5, "input": {"px": 112}}
    case = case_report(answer, card=card, created=MOMENT, pictures=[], method="Grad-CAM", synthetic=False, software={})
    assert (case.name, case.model_id, case.run_title, case.label) == ("a.png", "run@0123", "T", "positive")
    assert (case.classes, case.probabilities) == (answer.classes, answer.probabilities)
    assert (case.prediction_set, case.coverage) == (("equivocal", "positive"), 0.95)
    assert case.notes == (f"{FLAGS['cropped'].capitalize()}.",)
    assert case.limits == ("The classes of this run are not a HER2 status: folders.", "Its limit.")
    page = Document(render_html(case))
    assert [float(a["value"]) for a, _ in page.all("data")] == list(answer.probabilities)
    assert [text.replace("\u00a0", " ") for _, text in page.all("data")] == ["2.1 %", "17.9 %", "80.0 %"]
    assert [text for _, text in page.all("td", **{"class": "set"})] == ["no", "yes", "yes"]
    widths = [float(w) for w in re.findall(r"\.w\d+ \{ width: ([\d.]+)%", render_html(case))]
    np.testing.assert_allclose(widths, 100 * np.array(answer.probabilities), atol=0.005)
    assert "negative 2.1 % no equivocal 17.9 % yes positive 80.0 % yes" in pdf_text(render_pdf(case))


def test_both_say_the_same():
    for text in both(report(synthetic=True)):
        assert text.count(NOTICE) == 2
        assert text.startswith(f"her2core case report {NOTICE}")
        assert "Prediction set at 90 %: equivocal, positive. The patch alone cannot distinguish them." in text
        meaning = (
            "for at least 90 % of the patches of each class the set contains the true class, on patches exchangeable "
            "with the "
        )
        assert meaning + "validation patches" in text
        for words in (
            "sample 3.png",
            "The patch is not square.",
            "A limit.",
            "2026-03-04 10:22 UTC",
            "demo@b06ce632cc47",
            "112 x 112 px",
            "0.25 (patch",
            "1.082",
            "Grad-CAM for equivocal, 7 x 7",
            "her2core 0.1.0",
            "Synthetic patch, generated",
        ):
            assert words in text
        assert "diagnosis" not in text.lower()
    for text in both(report(mpp=None)):
        assert "not stated" in text
        assert "ynthetic" not in text.replace("Synthetic demo cohort", "")


def test_without_a_reliable_answer_there_is_a_reason_and_no_class():
    for text in both(not_classified()):
        assert "No reliable answer The patch is blank." in text
        assert not re.search(r"positive|negative|equivocal|probab|Prediction set|Temperature|Grad-CAM", text)
    page = Document(render_html(not_classified()))
    assert len(page.all("img")) == 2
    assert not page.all("data")


def test_the_headline_names_every_class_of_the_set():
    for text in both(report()):
        assert re.search(r"Answer equivocal or positive Prediction set at 90 %: equivocal, positive\.", text, re.I)
    for text in both(report(prediction_set=("positive",))):
        assert re.search(r"Answer positive Prediction set at 90 %: positive\.", text, re.I)
    for sets in ((), ("negative",)):
        with pytest.raises(EvaluationError, match="a prediction set that contains the class"):
            report(prediction_set=sets)


def test_a_run_without_sets_is_said_in_words():
    for text in both(report(prediction_set=None, coverage=None)):
        assert "This run has no prediction sets" in text
        assert "In the set" not in text


def test_real_answers_of_a_released_run():
    model = load_predictor(ROOT / "models" / "demo")
    for image, name in ((patch(5, 128), "tissue"), (np.full((128, 128, 3), 255, np.uint8), "white")):
        answer = model.predict([image], names=[name])[0]
        case = case_report(
            answer,
            card=model.run.card,
            created=MOMENT,
            pictures=[("Patch", "It", answer.raw)],
            method="Grad-CAM",
            synthetic=True,
        )
        assert case.software["her2core"]
        for text in both(case):
            assert model.run.card["limits"][0] in text
            assert (answer.most_probable in text) == (name == "tissue") == answer.reliable
            assert name == "tissue" or FLAGS[answer.flags[0]][1:] in text
    failed = model.predict([b"no image"], names=["broken.png"])[0]
    case = case_report(failed, card=model.run.card, created=MOMENT, pictures=[], method="none", synthetic=False)
    assert all("No reliable answer broken.png: " in text for text in both(case))


@pytest.mark.parametrize(
    ("flags", "sets"), [(("out_of_distribution",), ("positive",)), (("not_he",), None), ((), ("negative",)), ((), ())]
)
def test_a_case_without_a_reliable_answer_names_no_class_and_no_set(flags, sets):
    """Out of distribution, another kind of picture, and a set that contradicts the most probable class."""
    found = Prediction("a", THREE, (0.1, 0.1, 0.8), flags, {}, "m", prediction_set=sets, coverage=0.9 if sets else None)
    card = load_card() | {"limits": ["A limit."], "title": "A run"}
    pictures = [("Patch", "It", patch(1))]
    case = case_report(found, card=card, created=MOMENT, pictures=pictures, method="none", synthetic=False)
    assert (case.label, case.prediction_set, case.probabilities) == (None, None, ())
    for text in both(case):
        assert "No reliable answer" in text
        assert found.reasons[0][1:] in text
        assert not re.search(r"positive|negative|equivocal", text)


def test_the_document_is_self_contained_and_runs_nothing():
    html = render_html(report())
    page = Document(html)
    assert {t for t, _, _ in page.elements}.isdisjoint(
        {"script", "link", "iframe", "object", "base", "form", "svg", "a"}
    )
    for _, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "href", "srcset")]
    assert not re.search(r"https?:|javascript:|url\(|@import", html)
    (policy,) = [a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:"]
    assert page.all("html")[0][0] == {"lang": "en"}
    assert page.all("title")[0][1] == "Case report: sample 3.png"
    assert len(page.all("h1")) == 1
    assert all(a.get("scope") in ("row", "col") for a, _ in page.all("th"))
    images = page.all("img")
    assert [a["alt"] for a, _ in images] == [alt for _, alt, _ in report().pictures]
    for (attributes, _), (_, _, pixels) in zip(images, report().pictures, strict=True):
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert not image.info
            np.testing.assert_array_equal(np.asarray(image), pixels)


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
    page, usual = Document(html), Document(render_html(replace(report(synthetic=True), pictures=case.pictures)))
    assert [t for t, _, _ in page.elements] == [t for t, _, _ in usual.elements]
    assert [sorted(a) for _, a, _ in page.elements] == [sorted(a) for _, a, _ in usual.elements]
    shown = page.all("h1")[0][1]
    assert shown == (clean_text(name, 90) or "unnamed")
    assert len(shown) <= 90
    assert not re.search("[\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000]", shown)
    assert NOTICE in pdf_text(render_pdf(case))


def test_a_class_may_be_called_anything():
    classes = ("<b>a</b>", "\u0645\u0648\u062c\u0628", "B & C")
    page = Document(render_html(report(classes=classes, probabilities=(0.1, 0.2, 0.7))))
    assert tuple(text for a, text in page.all("th", scope="row"))[:3] == classes
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


def test_percentages_never_claim_more_than_they_know():
    texts = [percent(p).replace("\u00a0", " ") for p in (0, 1e-9, 0.00049, 0.0005, 0.5, 0.9994, 0.9996, 1)]
    assert texts == ["0.0 %", "<0.1 %", "<0.1 %", "0.1 %", "50.0 %", "99.9 %", ">99.9 %", "100.0 %"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"label": None}, EvaluationError, "Expected a reason"),
        ({"label": "other"}, EvaluationError, "Expected a class out of negative"),
        ({"probabilities": (0.5, 0.5)}, EvaluationError, "got 2 for 3 classes"),
        ({"probabilities": (0.5, 0.5, float("nan"))}, EvaluationError, "probabilities from 0 to 1"),
        ({"prediction_set": ("other",)}, EvaluationError, "a set of known classes"),
        ({"coverage": None}, EvaluationError, "a coverage"),
        ({"pictures": (("Patch", "", np.zeros((4, 4), np.uint8)),)}, ImageError, "got uint8 (4, 4)"),
        ({"pictures": (("Patch", "", np.zeros((4, 4, 3))),)}, ImageError, "got float64 (4, 4, 3)"),
        ({"pictures": (("Patch", "", None),)}, ImageError, "got NoneType"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused_in_a_sentence(changes, error, words):
    with pytest.raises(error) as refused:
        report(**changes)
    assert words in str(refused.value)


def test_importing_it_is_light():
    heavy = ["torch", "streamlit", "pandas", "scipy", "matplotlib", "reportlab", "jinja2", "plotly"]
    imports = "import her2core.report.case, her2core.report.case_html, her2core.report.case_pdf, sys"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
