"""How does a report of a run look on paper? A Document in; the bytes of a PDF of A4 pages out.

The words are those of run_html, the letters those of fonts. Each page carries the notice, what the figures must not be
taken for, and its number. Equal documents give equal bytes: the only date in them is the run's.
"""

from __future__ import annotations

import io

from her2core.cli.text import NOTICE
from her2core.report.document import Document
from her2core.report.fonts import ONE_AT_A_TIME, fonts, stamp


def render_run_pdf(document: Document) -> bytes:
    """The document as PDF; the same bytes for equal documents.

    Raises ConfigError where matplotlib was installed without its fonts.
    """
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    from her2core.report.run_flow import ACROSS, BELOW, PAGE, Flow, margin_writer, numbered_canvas

    with ONE_AT_A_TIME:
        flow = Flow(document, fonts())
        head = flow.head_height()
        stream = io.BytesIO()
        made = BaseDocTemplate(
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
        made.addPageTemplates([PageTemplate("page", [frame], onPage=flow.write_head)])
        made.beforeDocument = lambda: _dated(made.canv, document)
        made.build(flow.story(), canvasmaker=numbered_canvas(margin_writer(flow)))
        return stream.getvalue()


def _dated(canvas, document: Document) -> None:
    canvas.setViewerPreference("DisplayDocTitle", "true")
    if document.created is not None:
        created = stamp(document.created)
        canvas.setDateFormatter(lambda *_: created)
