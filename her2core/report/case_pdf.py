"""Case report as PDF of one A4 page.

The text is that of ``case_html``, the fonts those of ``fonts``. Equal reports give equal bytes: the only date in them
is the report's.
"""

from __future__ import annotations

import io

from her2core.notice import NOTICE
from her2core.report.case import CaseReport
from her2core.report.case_page import case_page
from her2core.report.fonts import ONE_AT_A_TIME, fonts, stamp

#: Font size in points and relative size of images; the first pair that fits the page is used.
SIZES = (
    (8.5, 1.0),
    (8.0, 1.0),
    (7.5, 1.0),
    (7.5, 0.8),
    (7.0, 0.8),
    (6.5, 0.8),
    (6.0, 0.8),
    (5.5, 0.7),
    (5.0, 0.6),
    (4.5, 0.5),
    (4.0, 0.5),
)


def render_pdf(report: CaseReport) -> bytes:
    """The report as PDF of one A4 page.

    Parameters
    ----------
    report : CaseReport
        From ``case_report``.

    Returns
    -------
    bytes
        Equal reports give equal bytes.

    Raises
    ------
    ConfigError
        matplotlib was installed without its fonts.

    Examples
    --------
    >>> from her2core.report.examples import example_case
    >>> render_pdf(example_case())[:5]
    b'%PDF-'
    """
    from reportlab.pdfgen.canvas import Canvas

    from her2core.report.case_sheet import ACROSS, DOWN, HEIGHT, PAGE, WIDTH, Sheet

    page = case_page(report)
    with ONE_AT_A_TIME:
        characters = fonts()
        for size, share in SIZES:
            blocks = Sheet(page, characters, size, share).blocks()
            heights = [block.wrap(WIDTH, HEIGHT)[1] for block in blocks]
            if sum(heights) <= HEIGHT:
                break
        stream = io.BytesIO()
        canvas = Canvas(stream, pagesize=PAGE, invariant=1, lang="en", pageCompression=1)
        created = stamp(report.created)
        canvas.setDateFormatter(lambda *_: created)
        canvas.setTitle(page.title)
        canvas.setSubject(NOTICE)
        canvas.setAuthor("")
        canvas.setCreator("her2core")
        canvas.setViewerPreference("DisplayDocTitle", "true")
        y = PAGE[1] - DOWN
        for block, height in zip(blocks, heights, strict=True):
            y -= height
            block.drawOn(canvas, ACROSS, y)
        canvas.showPage()
        canvas.save()
        return stream.getvalue()
