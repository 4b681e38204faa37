"""How does a page or a command get the report? The report of a run or a table in; HTML or PDF bytes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from her2core.report.checklist import CHECKLISTS, STATES, fill
from her2core.report.document import Document
from her2core.report.run_document import document_of
from her2core.report.run_html import render_run_html
from her2core.report.run_pdf import render_run_pdf
from her2core.report.run_report import RunReport


@dataclass(frozen=True)
class Made:
    """A report in words, ready to be laid out. ``counts``: guideline -> state -> how many of its items."""

    document: Document
    counts: Mapping[str, Mapping[str, int]]

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.document.banners, *self.document.warnings)

    def html(self) -> bytes:
        """One self-contained HTML file, UTF-8; the same bytes for equal reports."""
        return render_run_html(self.document).encode()

    def pdf(self) -> bytes:
        """PDF of A4 pages; the same bytes for equal reports."""
        return render_run_pdf(self.document)


def made(report: RunReport) -> Made:
    """Put the evidence into words, once, for both kinds of file."""
    counts = {}
    for checklist in CHECKLISTS:
        count = Counter(row.state for row in fill(checklist, report))
        counts[checklist.name] = {state: count[state] for state in STATES}
    return Made(document_of(report), counts)
