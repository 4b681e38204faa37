"""Case report: HTML and PDF agree with the prediction and with each other, and hold no code."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from case_parts import MOMENT, THREE, both, case_html, case_pdf, not_classified, patch, pdf_text, report
from documents import Page
from PIL import Image

from her2core import load_predictor, open_run
from her2core.data.prepare import FLAGS
from her2core.errors import EvaluationError, ImageError
from her2core.inference.field import FieldPrediction
from her2core.inference.prediction import Prediction
from her2core.notice import NOTICE
from her2core.report.case import case_report, field_report
from her2core.report.case_document import percent

ROOT = Path(__file__).resolve().parents[1]


@cache
def load_card() -> dict:
    return open_run(ROOT / "models" / "demo").card


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
    page = Page(case_html(case))
    assert [float(a["value"]) for a, _ in page.found("data")] == list(answer.probabilities)
    assert [text.replace("\u00a0", " ") for _, text in page.found("data")] == ["2.1 %", "17.9 %", "80.0 %"]
    assert [text for _, text in page.found("td", **{"class": "set"})] == ["no", "yes", "yes"]
    widths = [float(a["width"].rstrip("%")) for a, _ in page.found("rect")]
    np.testing.assert_allclose(widths, 100 * np.array(answer.probabilities), atol=0.005)
    assert "negative 2.1 % no equivocal 17.9 % yes positive 80.0 % yes" in pdf_text(case_pdf(case))


def test_the_report_says_whether_the_accuracy_of_its_model_can_be_believed():
    said = "Accuracy of this model: Can this number be believed? No. It cannot."
    for case in (report(reservation=said), not_classified(reservation=said)):
        for text in both(case):
            assert said in text


def test_both_say_the_same():
    for text in both(report(synthetic=True)):
        assert text.count(NOTICE) == 2
        assert text.startswith((f"her2core case report {NOTICE}", f"{NOTICE} her2core case report: sample 3.png"))
        assert "Prediction set at 90 %: equivocal, positive. The patch alone cannot distinguish them." in text
        meaning = (
            "for at least 90 % of the patches of new patients the set contains the true class, on patients "
            "exchangeable with the "
        )
        assert meaning + "validation patients" in text
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
    page = Page(case_html(not_classified()))
    assert len(page.found("img")) == 3, "the mark and two images"
    assert not page.found("data")


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


def field(counts: list[bool], probabilities: tuple[float, ...]) -> FieldPrediction:
    """A field of four tiles with tissue, of which these count."""
    flags = ["" if counted else "out_of_distribution" for counted in counts]
    tiles = pd.DataFrame({"tissue": True, "counts": counts, "flags": flags})
    return FieldPrediction("field.png", THREE, probabilities, tiles, (400, 200), 0.5, 50.0, "run@0123")


def test_the_report_of_a_field_says_how_its_answer_came_about():
    pictures = [("Field", "The field", patch(1)), ("Probability of positive by tile", "Heatmap", patch(2))]
    found = field([True, True, True, False], (0.1, 0.2, 0.7))
    case = field_report(found, card=load_card(), created=MOMENT, pictures=pictures, synthetic=False, software={})
    for text in both(case):
        assert "Answer positive A field has no prediction set" in text.replace("ANSWER", "Answer")
        assert "the mean over the tiles with assessable tissue" in text
        assert "cut into 4 tiles of 50 microns" in text
        assert "1 tile left out" in text
        assert "0.5 (field, as stated)" in text
        assert "positive 70.0 %" in text
        assert "Probability of positive by tile" in text
    case = field_report(
        replace(found, credible=("equivocal", "positive")),
        card=load_card(),
        created=MOMENT,
        pictures=pictures,
        synthetic=False,
        software={},
    )
    for text in both(case):
        assert "equivocal or positive A field has no prediction set" in text
    found = field([True, False, False, False], (0.1, 0.2, 0.7))
    case = field_report(found, card=load_card(), created=MOMENT, pictures=pictures, synthetic=False, software={})
    for text in both(case):
        assert "No reliable answer Only 1 of 4 tiles with tissue are like the training patches." in text
        assert not re.search(r"positive|70|Temperature", text)


def test_the_document_is_self_contained_and_runs_nothing():
    html = case_html(report())
    page = Page(html)
    assert {t for t, _, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "base", "form", "a"})
    for _, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "href", "srcset")]
    assert not re.search(r"https?:|javascript:|url\(|@import", html)
    (policy,) = [a["content"] for a, _ in page.found("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:"]
    assert page.found("html")[0][0] == {"lang": "en"}
    assert page.found("title")[0][1] == "Case report: sample 3.png"
    assert len(page.found("h1")) == 1
    assert all(a.get("scope") in ("row", "col") for a, _ in page.found("th"))
    images = page.found("img")[1:]
    assert [a["alt"] for a, _ in images] == [alt for _, alt, _ in report().pictures]
    for (attributes, _), (_, _, pixels) in zip(images, report().pictures, strict=True):
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert not image.info
            np.testing.assert_array_equal(np.asarray(image), pixels)


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
    heavy = ["torch", "streamlit", "pandas", "scipy", "matplotlib", "typst", "jinja2", "plotly"]
    imports = "import her2core.report.case_document, her2core.report.render_html, her2core.report.render_pdf, sys"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
