"""How does a case report look on paper? A CaseReport in; the bytes of one A4 page as PDF out.

The words are those of case_html. Letters are DejaVu Sans, which matplotlib brings along, embedded as a subset: PDF's
own fonts end at Latin-1. Equal reports give equal bytes: the only date in them is the report's.
"""

from __future__ import annotations

import io
import threading
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from her2core.errors import ConfigError
from her2core.report.case import CaseReport, page_of
from her2core.wording import NOTICE

#: Font size in points, and of the room for them the share that pictures take: the first that fits is used.
SIZES = ((8.5, 1.0), (8.0, 1.0), (7.5, 1.0), (7.5, 0.8), (7.0, 0.8), (6.5, 0.8), (6.0, 0.8), (5.5, 0.7), (5.0, 0.6),
         (4.5, 0.5), (4.0, 0.5))  # fmt: skip
# reportlab parses every paragraph with one parser for the whole process, and sessions are threads.
_ONE_AT_A_TIME = threading.Lock()


def render_pdf(report: CaseReport) -> bytes:
    """The report as PDF of one A4 page; the same bytes for equal reports.

    Raises ConfigError where matplotlib was installed without its fonts.
    """
    from reportlab.pdfgen.canvas import Canvas

    from her2core.report.case_sheet import ACROSS, DOWN, HEIGHT, PAGE, WIDTH, Sheet

    page = page_of(report)
    with _ONE_AT_A_TIME:
        characters = _fonts()
        for size, share in SIZES:
            blocks = Sheet(page, characters, size, share).blocks()
            heights = [block.wrap(WIDTH, HEIGHT)[1] for block in blocks]
            if sum(heights) <= HEIGHT:
                break
        stream = io.BytesIO()
        canvas = Canvas(stream, pagesize=PAGE, invariant=1, lang="en", pageCompression=1)
        stamp = _stamp(report.created)
        canvas.setDateFormatter(lambda *_: stamp)
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


def _stamp(moment: datetime) -> str:
    """A moment as PDF writes it (ISO 32000-1, 7.9.4): D:YYYYMMDDHHmmSS and, where the zone is known, +HH'mm'."""
    zone = f"{moment:%z}"
    return f"D:{moment:%Y%m%d%H%M%S}" + (f"{zone[:3]}'{zone[3:5]}'" if zone else "")


@lru_cache
def _fonts() -> frozenset[int]:
    """Register the two fonts, once; the characters that both can draw."""
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    from her2core.report.case_sheet import BOLD, PLAIN

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    known = []
    for name, file in ((PLAIN, "DejaVuSans.ttf"), (BOLD, "DejaVuSans-Bold.ttf")):
        if not (folder / file).is_file():
            raise ConfigError(
                expected=f"the font {file}", got="none", where=str(folder),
                fix="Install matplotlib from PyPI, which brings it along.",
            )  # fmt: skip
        font = TTFont(name, str(folder / file))
        pdfmetrics.registerFont(font)
        known.append(set(font.face.charToGlyph))
    return frozenset(known[0] & known[1])
