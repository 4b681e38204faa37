"""Page layout of the case report's PDF: a case page as reportlab flowables at one font size.

The only module besides ``run_flow`` that imports reportlab at module level; ``case_pdf`` imports it when a PDF is
requested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable, Paragraph, Spacer, Table

from her2core.notice import NOTICE
from her2core.report.case_page import Bar, CasePage, columns, fitted
from her2core.report.fonts import BOLD, PLAIN
from her2core.report.lettering import drawable

#: A4 and its margins in points.
PAGE, ACROSS, DOWN = (595.276, 841.89), 34.0, 30.0
WIDTH, HEIGHT = PAGE[0] - 2 * ACROSS, PAGE[1] - 2 * DOWN
#: Longest side of an image in points, and its resolution.
_LARGEST, _DPI = 122.0, 300
_TEXT, _MUTED, _LINE, _ACCENT, _BAR, _TRACK = "#1c1b1f", "#57535c", "#d8d4dc", "#7a3b8f", "#807b87", "#eceaef"
_NOTE, _NOTE_TEXT, _NOTE_LINE = "#fff4d6", "#4f3500", "#c98a00"


class Sheet:
    """The blocks of a page from top to bottom.

    Parameters
    ----------
    page : CasePage
        Text and images.
    characters : frozenset of int
        Code points that the fonts can draw.
    size : float
        Font size in points.
    share : float
        Relative size of the images, 0 to 1.
    """

    def __init__(self, page: CasePage, characters: frozenset[int], size: float, share: float) -> None:
        self.page, self.characters, self.size, self.share = page, characters, size, share

    def blocks(self) -> list[Flowable]:
        """All flowables of the page."""
        page, s = self.page, self.size
        top = self._table(
            [[self._text("her2core case report", colour=_MUTED), self._text(NOTICE, bold=True, right=True)]],
            [0.3 * WIDTH, 0.7 * WIDTH],
            [("LINEBELOW", (0, 0), (-1, -1), 1.2, _ACCENT), ("BOTTOMPADDING", (0, 0), (-1, -1), 0.4 * s)],
        )
        blocks = [top, self._gap(0.8), self._text(page.name, scale=1.5, bold=True), self._gap(0.6)]
        if page.banner:
            blocks += [self._box([self._text(page.banner, bold=True, colour="#ffffff")], _TEXT), self._gap(0.7)]
        if page.notes:
            found = [self._text("READ BEFORE THE ANSWER", bold=True, colour=_NOTE_TEXT, scale=0.82)]
            found += [self._item(note, colour=_NOTE_TEXT) for note in page.notes]
            blocks += [self._box(found, _NOTE, _NOTE_LINE), self._gap(0.9)]
        left, right = 0.56 * WIDTH, 0.44 * WIDTH
        gutter = 2 * s
        apart = [("RIGHTPADDING", (0, 0), (0, 0), gutter)]
        blocks += [
            self._table([[self._answer(left - gutter), self._facts(right)]], [left, right], apart),
            self._gap(1.1),
        ]
        if page.pictures:
            blocks += [self._heading("Images"), self._pictures(), self._gap(0.6)]
        if page.limits:
            blocks += [self._heading("Limits of this run"), *map(self._item, page.limits), self._gap(0.7)]
        foot = [self._text(NOTICE, bold=True)]
        foot += [self._text(f"Software: {page.software}", colour=_MUTED, scale=0.9)] if page.software else []
        rule = [("LINEABOVE", (0, 0), (-1, 0), 1.2, _ACCENT), ("TOPPADDING", (0, 0), (-1, 0), 0.4 * s)]
        return [*blocks, self._table([[foot]], [WIDTH], rule)]

    def _answer(self, width: float) -> list[Flowable]:
        """The answer with its probabilities."""
        page = self.page
        answer = self._text(page.answer, scale=1.75, bold=True, colour=_ACCENT if page.classified else _TEXT)
        found = [self._heading("Answer"), answer, self._gap(0.3)]
        for i, sentence in enumerate(page.sentences):
            secondary = page.classified and i > 0
            colour, scale = (_MUTED, 0.9) if secondary else (_TEXT, 1.0)
            found += [self._text(sentence, colour=colour, scale=scale), self._gap(0.3)]
        return [*found, self._gap(0.3), self._bars(width)] if page.bars else found

    def _bars(self, width: float) -> Flowable:
        """Table of probabilities with bars."""
        bars, s = self.page.bars, self.size
        sets = bars[0].in_set is not None
        head = ["Class", "Calibrated probability", ""] + (["In the set"] if sets else [])
        rows: list[list[Any]] = [[self._text(t, colour=_MUTED, scale=0.85) for t in head]]
        wide = [0.36 * width, 0, 5.0 * s, 6.2 * s if sets else 0]
        wide[1] = width - sum(wide)
        for bar in bars:
            row = [
                self._text(bar.name, bold=bar.top),
                _Strip(bar, wide[1], s),
                self._text(bar.text, bold=bar.top, right=True),
            ]
            rows.append(row + ([self._text("yes" if bar.in_set else "no")] if sets else []))
        style = [*self._lines(), ("SPAN", (1, 0), (2, 0)), ("LEFTPADDING", (3, 0), (3, -1), s)]
        return self._table(rows, wide if sets else wide[:3], style)

    def _facts(self, width: float) -> list[Flowable]:
        """How the answer was computed."""
        rows = [[self._text(what, colour=_MUTED), self._text(value)] for what, value in self.page.facts]
        return [self._heading("How it was computed"), self._table(rows, [0.38 * width, 0.62 * width], self._lines())]

    def _pictures(self) -> Flowable:
        """Images with their captions."""
        across, gap = columns(len(self.page.pictures)), 0.8 * self.size
        cell = (WIDTH + gap) / across
        side = min((cell - gap) * self.share, _LARGEST)
        cells = []
        for caption, _, pixels in self.page.pictures:
            height, width = pixels.shape[:2]
            wide, high = side * min(1.0, width / height), side * min(1.0, height / width)
            cells.append([_Picture(pixels, wide, high), self._gap(0.2), self._text(caption, colour=_MUTED, scale=0.85)])
        rows = [cells[i : i + across] for i in range(0, len(cells), across)]
        rows[-1] += [[]] * (across - len(rows[-1]))
        apart = [("RIGHTPADDING", (0, 0), (-1, -1), gap), ("BOTTOMPADDING", (0, 0), (-1, -1), 0.6 * self.size)]
        return self._table(rows, [min(cell, _LARGEST + gap)] * across, apart)

    def _text(
        self,
        words: str,
        *,
        scale: float = 1.0,
        bold: bool = False,
        colour: str = _TEXT,
        right: bool = False,
        indent: float = 0.0,
        bullet: str | None = None,
    ) -> Flowable:
        """A paragraph; ``scale`` is relative to the font size."""
        size = scale * self.size
        style = ParagraphStyle(
            "words",
            fontName=BOLD if bold else PLAIN,
            fontSize=size,
            leading=1.32 * size,
            textColor=colour,
            alignment=2 if right else 0,
            splitLongWords=1,
            leftIndent=indent,
            bulletIndent=0.3 * indent,
            bulletFontName=PLAIN,
            bulletFontSize=size,
            bulletColor=colour,
        )
        return Paragraph(escape(drawable(words, self.characters)), style, bulletText=bullet)

    def _item(self, words: str, *, colour: str = _TEXT) -> Flowable:
        """A list item."""
        return self._text(words, colour=colour, indent=1.6 * self.size, bullet="\u2022")

    def _heading(self, words: str) -> Flowable:
        """A heading."""
        return self._table(
            [[self._text(words.upper(), bold=True, colour=_MUTED, scale=0.82)]],
            None,
            [("BOTTOMPADDING", (0, 0), (-1, -1), 0.35 * self.size)],
        )

    def _gap(self, share: float) -> Flowable:
        """Vertical space, relative to the font size."""
        return Spacer(1, share * self.size)

    def _box(self, content: list[Flowable], colour: str, edge: str | None = None) -> Flowable:
        """A coloured box, with a line at its left edge where ``edge`` is a colour."""
        left = ("LEFTPADDING", (0, 0), (-1, -1), self.size)
        style = [("BACKGROUND", (0, 0), (-1, -1), colour), *_padding(0.5 * self.size), left]
        style += [("LINEBEFORE", (0, 0), (0, -1), 3, edge, "butt")] if edge else []
        return self._table([[content]], [WIDTH], style)

    def _lines(self) -> list[tuple[Any, ...]]:
        """Table style: rules between rows."""
        pad = 0.22 * self.size
        rule = ("LINEBELOW", (0, 0), (-1, -1), 0.5, _LINE)
        above, below = ("TOPPADDING", (0, 0), (-1, -1), pad), ("BOTTOMPADDING", (0, 0), (-1, -1), pad)
        return [rule, above, below, ("RIGHTPADDING", (0, 0), (0, -1), 0.5 * self.size)]

    def _table(self, rows: list, widths: Sequence[float] | None, style: Sequence[tuple[Any, ...]] = ()) -> Flowable:
        """A table without padding, with ``style`` on top."""
        bare = [*_padding(0), ("VALIGN", (0, 0), (-1, -1), "TOP")]
        return Table(rows, colWidths=widths, style=[*bare, *style], hAlign="LEFT")


def _padding(points: float) -> list[tuple[Any, ...]]:
    return [(f"{side}PADDING", (0, 0), (-1, -1), points) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")]


class _Picture(Flowable):
    """uint8 (H, W, 3) RGB at ``width`` x ``height`` points, with no more pixels than _DPI asks for."""

    def __init__(self, pixels: np.ndarray, width: float, height: float) -> None:
        super().__init__()
        self.pixels, self.width, self.height = pixels, width, height

    def draw(self) -> None:
        small = fitted(self.pixels, round(max(self.width, self.height) * _DPI / 72))
        self.canv.drawImage(ImageReader(Image.fromarray(small)), 0, 0, self.width, self.height)


class _Strip(Flowable):
    """A bar: a track of ``width`` points, of which the share is filled, beside text of ``size`` points."""

    def __init__(self, bar: Bar, width: float, size: float) -> None:
        super().__init__()
        self.bar, self.width, self.height = bar, width, 1.2 * size

    def draw(self) -> None:
        for reach, colour in ((1.0, _TRACK), (self.bar.share, _ACCENT if self.bar.top else _BAR)):
            self.canv.setFillColor(colour)
            self.canv.rect(0, 0.1 * self.height, reach * self.width, 0.6 * self.height, stroke=0, fill=1)
