"""Case reports of invented answers, and their words in HTML and PDF."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pypdf
from documents import Page

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.report.case import CaseReport
from her2core.report.case_document import case_document
from her2core.report.render_html import render_html
from her2core.report.render_pdf import render_pdf

THREE, TWELVE = ("negative", "equivocal", "positive"), tuple(f"tissue class {i}" for i in range(12))
MOMENT = datetime(2026, 3, 4, 10, 22, 5, tzinfo=UTC)


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


def not_classified(**changes) -> CaseReport:
    given = {"prediction_set": None, "coverage": None, **changes}
    return report(label=None, probabilities=(0.02, 0.18, 0.8), reason="The patch is blank.", **given)


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


def case_html(case: CaseReport) -> str:
    return render_html(case_document(case))


def case_pdf(case: CaseReport) -> bytes:
    return render_pdf(case_document(case))


def both(case: CaseReport) -> tuple[str, str]:
    return Page(case_html(case)).text, pdf_text(case_pdf(case))
