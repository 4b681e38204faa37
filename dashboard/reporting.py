"""What goes into the case report of the patch in view? The run, the answer and the pictures in; a CaseReport out."""

from __future__ import annotations

from datetime import datetime

from dashboard.mapping import MapChoice, Mapping
from dashboard.parts import download
from her2core.maps.methods import METHODS
from her2core.report.case import CaseReport, case_report
from her2core.report.case_html import render_html
from her2core.report.case_pdf import render_pdf
from her2core.runs.folder import Run


def case_of(run: Run, mapping: Mapping, choice: MapChoice | None, *, synthetic: bool) -> CaseReport:
    """The report of the patch in view, with the map of every class by the method chosen (None: no maps)."""
    answer = mapping.answer
    pictures = [
        ("Patch", f"The patch {answer.name}", mapping.whole),
        ("Stain normalised", "The same patch as the network saw it", mapping.normalised),
    ]
    if choice is not None:
        for target in answer.classes:
            picture, words = mapping.picture(target, choice)
            pictures.append((words, f"{words}, laid over the patch", picture))
    return case_report(
        answer,
        card=run.card,
        created=datetime.now().astimezone(),
        pictures=pictures,
        method=METHODS[choice.method].title if choice else "none",
        synthetic=synthetic,
    )


def report_downloads(report: CaseReport) -> None:
    """Offer the report as HTML and as PDF; each is made when it is asked for."""
    download("Case report (HTML)", lambda: render_html(report), name="case-research-use-only.html", mime="text/html")
    download("Case report (PDF)", lambda: render_pdf(report), name="case-research-use-only.pdf", mime="application/pdf")
