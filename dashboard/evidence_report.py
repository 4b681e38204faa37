"""How does the evidence in use go onto paper? A review in; its report as HTML and PDF out, made when asked for."""

from __future__ import annotations

import streamlit as st

from dashboard.parts import download
from dashboard.review import Review
from dashboard.state import remember
from her2core.report.run_download import RenderedReport, render_report
from her2core.report.run_report import predictions_report, run_report


def report_of(review: Review) -> RenderedReport:
    """The report in words; of a run from its tables, of a file computed once."""
    if review.run is not None:
        return render_report(run_report(review.run))
    return remember(("report", review.key), lambda: render_report(predictions_report(review.whole, name=review.name)))


def evidence_report(review: Review) -> None:
    """Offer the report. That of a file is made of every table and may take a minute."""
    st.header("Report")
    st.caption(
        "Every figure with unit and interval, calibration, abstention, subgroups, failure cases, and the items of "
        "TRIPOD+AI and CLAIM 2024 as met or not reported, in one file."
    )
    with st.container(horizontal=True):
        download(
            "Report (HTML)",
            lambda: report_of(review).html(),
            name=f"{review.name}-report-research-use-only.html",
            mime="text/html",
        )
        download(
            "Report (PDF)",
            lambda: report_of(review).pdf(),
            name=f"{review.name}-report-research-use-only.pdf",
            mime="application/pdf",
        )
