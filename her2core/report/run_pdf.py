"""Run report as a PDF of A4 pages.

The text is that of ``run_html``. Each page carries the notice, the restrictions on the figures, and its number. Equal
documents give equal bytes: the only date in them is the run's.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from her2core.notice import NOTICE
from her2core.report.document import Document
from her2core.report.fonts import ONE_AT_A_TIME, fonts, stamp

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas


def render_run_pdf(document: Document) -> bytes:
    """The document as PDF.

    Parameters
    ----------
    document : Document
        From ``run_document.report_document``.

    Returns
    -------
    bytes
        Equal documents give equal bytes.

    Raises
    ------
    ConfigError
        matplotlib was installed without its fonts.

    Examples
    --------
    >>> from her2core.report.document import Section, Words
    >>> render_run_pdf(Document("name", "subject", (), (), (Section("data", 1, "Data", (Words("x"),)),), ""))[:5]
    b'%PDF-'
    """
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    from her2core.report.run_flow import ACROSS, BELOW, PAGE, Flow, margin_writer, numbered_canvas

    with ONE_AT_A_TIME:
        flow = Flow(document, fonts())
        head = flow.head_height()
        stream = io.BytesIO()
        template = BaseDocTemplate(
            stream,
            pagesize=PAGE,
            title=document.title,
            subject=NOTICE,
            author="",
            creator="her2core",
            invariant=1,
            lang="en",
            leftMargin=ACROSS,
            rightMargin=ACROSS,
        )
        frame = Frame(ACROSS, BELOW, PAGE[0] - 2 * ACROSS, PAGE[1] - BELOW - head, 0, 0, 0, 0)
        template.addPageTemplates([PageTemplate("page", [frame], onPage=flow.write_head)])
        template.beforeDocument = lambda: _dated(template.canv, document)
        template.build(flow.story(), canvasmaker=numbered_canvas(margin_writer(flow)))
        return stream.getvalue()


def _dated(canvas: Canvas, document: Document) -> None:
    canvas.setViewerPreference("DisplayDocTitle", "true")
    if document.created is not None:
        created = stamp(document.created)
        canvas.setDateFormatter(lambda *_: created)
