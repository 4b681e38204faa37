"""Run report as files: HTML and PDF of one document, and how many checklist items it meets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from her2core.report.checklist import CHECKLISTS, State, counts, fill, not_reported_sentence
from her2core.report.document import Document
from her2core.report.one_page import summary_document
from her2core.report.render_html import render_html
from her2core.report.render_pdf import render_pdf
from her2core.report.run_document import report_document
from her2core.report.run_report import RunReport


@dataclass(frozen=True)
class RenderedReport:
    """A report whose text is final, ready to be written as HTML or PDF.

    Attributes
    ----------
    document : Document
        Sections with text, tables and charts.
    counts : mapping of str to mapping of str to int
        Guideline -> state -> number of its items.
    not_reported : mapping of str to str
        Guideline -> its items that are not reported, as one list by their reason.
    report : RunReport
        What it was composed from.
    """

    document: Document
    counts: Mapping[str, Mapping[State, int]]
    not_reported: Mapping[str, str]
    report: RunReport = field(repr=False, compare=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Banners and warnings that precede every number."""
        return (*self.document.banners, *self.document.warnings)

    def html(self) -> bytes:
        """One self-contained HTML file in UTF-8; equal reports give equal bytes."""
        return render_html(self.document).encode()

    def pdf(self) -> bytes:
        """PDF of A4 pages; equal reports give equal bytes."""
        return render_pdf(self.document)

    def summary(self) -> bytes:
        """PDF of the one-page summary; equal reports give equal bytes."""
        return render_pdf(summary_document(self.report))


def render_report(report: RunReport) -> RenderedReport:
    """Compose the text of a report once, for both file formats.

    Parameters
    ----------
    report : RunReport
        From ``run_report`` or ``predictions_report``.

    Returns
    -------
    RenderedReport
        Its ``html()`` and ``pdf()`` have the same content.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> rendered = render_report(example_report())
    >>> rendered.html()[:15], rendered.counts["TRIPOD+AI 2024"]["met"]
    (b'<!doctype html>', 1)
    """
    filled = {checklist.name: fill(checklist, report) for checklist in CHECKLISTS}
    return RenderedReport(
        report_document(report),
        {name: counts(items) for name, items in filled.items()},
        {name: not_reported_sentence(items) for name, items in filled.items()},
        report,
    )
