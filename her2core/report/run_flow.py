"""Page layout of the run report's PDF: blocks of a document as reportlab flowables.

Imports reportlab at module level; ``run_pdf`` imports this module when a PDF is requested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image
from reportlab.lib.colors import HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Paragraph, Spacer, Table

from her2core.notice import NOTICE
from her2core.report.case_page import fitted
from her2core.report.document import Block, Chart, Document, Facts, Grid, Picture, Points, Row, Section, Words
from her2core.report.drawing import FONT, Drawing, Mark
from her2core.report.fonts import BOLD, PLAIN
from her2core.report.lettering import drawable
from her2core.report.run_style import COLOURS, STATES

#: A4 and its margins in points; BELOW leaves space for the page number.
PAGE, ACROSS, ABOVE, BELOW = (595.276, 841.89), 42.0, 24.0, 40.0
WIDTH = PAGE[0] - 2 * ACROSS
_SIZE, _LINE, _ACCENT = 7.6, "#d8d4dc", "#7a3b8f"
_NOTE, _NOTE_TEXT, _NOTE_LINE = "#fff4d6", "#4f3500", "#c98a00"
_TEXT, _MUTED = COLOURS["ink"], COLOURS["muted"]
#: Width of a chart, two beside each other; of a picture, four; and how many of its pixels are kept.
_CHART, _PICTURE, _DPI = (WIDTH - 16) / 2, (WIDTH - 30) / 4, 200
#: Height in points of a heading and the charts below it, which stay on one page.
_WITH_CHART = 270


class Flow:
    """Flowables of a document.

    Parameters
    ----------
    document : Document
        The composed report.
    characters : frozenset of int
        Code points that the fonts can draw.
    """

    def __init__(self, document: Document, characters: frozenset[int]) -> None:
        self.document, self.characters = document, characters

    def story(self) -> list[Flowable]:
        """All flowables from the title to the last section."""
        d = self.document
        blocks = [self._words(d.name, size=17, bold=True), Spacer(1, 3), self._words(d.subject, colour=_MUTED, size=9)]
        blocks += [Spacer(1, 8)]
        for banner in d.banners:
            blocks += [self._box([self._words(banner, bold=True, colour="#ffffff", size=8.5)], _TEXT), Spacer(1, 6)]
        if d.warnings:
            said = [self._words("Before reading any number", bold=True, colour=_NOTE_TEXT, size=8.5)]
            said += [self._item(w, colour=_NOTE_TEXT) for w in d.warnings]
            blocks += [self._box(said, _NOTE, _NOTE_LINE), Spacer(1, 8)]
        half = (len(d.sections) + 1) // 2
        entries = [self._entry(s) for s in d.sections]
        entries += [""] * (2 * half - len(entries))
        blocks.append(_table(list(zip(entries[:half], entries[half:], strict=True)), [WIDTH / 2] * 2))
        for section in d.sections:
            blocks += self._section(section)
        blocks += [Spacer(1, 14), self._words(f"Software: {d.made_with}", colour=_MUTED, size=7)]
        return blocks

    def head_height(self) -> float:
        """Height in points of the lines at the top of every page, margins included."""
        return ABOVE + sum(p.wrap(WIDTH, PAGE[1])[1] for p in self._head()) + 12

    def write_head(self, canvas: Canvas, _doc: object) -> None:
        """Draw the lines at the top of a page."""
        y = PAGE[1] - ABOVE
        for line in self._head():
            y -= line.wrap(WIDTH, PAGE[1])[1]
            line.drawOn(canvas, ACROSS, y)
        canvas.setStrokeColor(HexColor(_ACCENT))
        canvas.setLineWidth(1.1)
        canvas.line(ACROSS, y - 3, PAGE[0] - ACROSS, y - 3)

    def _words(
        self,
        text: str,
        *,
        size: float = _SIZE,
        bold: bool = False,
        colour: str = _TEXT,
        right: bool = False,
        indent: float = 0.0,
        bullet: str | None = None,
        before: str = "",
        link: str = "",
    ) -> Paragraph:
        """A paragraph; ``before`` is our own markup (an anchor), ``link`` the anchor that the text leads to."""
        style = ParagraphStyle(
            "words",
            fontName=BOLD if bold else PLAIN,
            fontSize=size,
            leading=1.34 * size,
            textColor=colour,
            alignment=2 if right else 0,
            splitLongWords=1,
            leftIndent=indent,
            bulletIndent=0.2 * indent,
            bulletFontName=PLAIN,
            bulletFontSize=size,
            bulletColor=colour,
        )
        said = escape(drawable(text, self.characters))
        said = f'<a href="#{link}" color="{_ACCENT}">{said}</a>' if link else said
        return Paragraph(before + said, style, bulletText=bullet)

    def _item(self, text: str, *, colour: str = _TEXT) -> Paragraph:
        """A list item."""
        return self._words(text, colour=colour, indent=10, bullet="\u2022")

    def _box(self, content: list[Flowable], colour: str, edge: str | None = None) -> Table:
        """A coloured box, with a line at its left edge where ``edge`` is a colour."""
        style: list[tuple[Any, ...]] = [
            ("BACKGROUND", (0, 0), (-1, -1), colour),
            ("LEFTPADDING", (0, 0), (-1, -1), 7),
            ("TOPPADDING", (0, 0), (-1, -1), 4),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
        ]
        style += [("LINEBEFORE", (0, 0), (0, -1), 3, edge, "butt")] if edge else []
        return _table([[content]], [WIDTH], style)

    def _head(self) -> list[Paragraph]:
        lines = [self._words(f"{NOTICE}", bold=True, size=7.5)]
        name = f"her2core run report: {self.document.name}"
        return [*lines, self._words("; ".join((name, *self.document.flags)) + ".", colour=_MUTED, size=7)]

    def _entry(self, section: Section) -> Paragraph:
        return self._words(f"{section.number}. {section.title}", size=8, link=section.key)

    def _section(self, section: Section) -> list[Flowable]:
        anchor = f'<a name="{section.key}"/>'
        title = self._words(f"{section.number}. {section.title}", size=12, bold=True, before=anchor)
        near = section.blocks[:3]
        space = _WITH_CHART + 40 if any(isinstance(b, Row) for b in near) else 120
        found: list[Flowable] = [
            CondPageBreak(space),
            Spacer(1, 16),
            _Outline(section.title, section.key),
            title,
            _Rule(),
            Spacer(1, 5),
        ]
        for block, following in zip(section.blocks, (*section.blocks[1:], None), strict=True):
            if isinstance(block, Words) and block.tone == "strong":
                found.append(CondPageBreak(_WITH_CHART if isinstance(following, Row) else 90))
            found += self._block(block)
        return found

    def _block(self, block: Block) -> list[Flowable]:
        match block:
            case Words(text, "strong"):
                return [Spacer(1, 5), self._words(text, bold=True, size=8.5), Spacer(1, 3)]
            case Words(text, "note"):
                return [self._box([self._words(text, colour=_NOTE_TEXT)], _NOTE, _NOTE_LINE), Spacer(1, 5)]
            case Words(text, tone):
                return [self._words(text, colour=_MUTED if tone == "muted" else _TEXT), Spacer(1, 4)]
            case Points(items):
                return [*(self._item(text) for text in items), Spacer(1, 4)]
            case Facts(rows):
                cells = [[self._words(a, colour=_MUTED), self._words(b)] for a, b in rows]
                return [_table(cells, [0.27 * WIDTH, 0.73 * WIDTH], _lines()), Spacer(1, 6)]
            case Grid():
                return self._grid(block)
            case Row(items):
                return self._row(items)
        raise TypeError(type(block).__name__)

    def _grid(self, grid: Grid) -> list[Flowable]:
        widths = [share * WIDTH for share in grid.shares]
        right = [i in grid.right for i in range(len(grid.head))]
        rows = [[self._words(t, colour=_MUTED, size=7, right=right[i]) for i, t in enumerate(grid.head)]]
        style = [*_lines(), ("LINEBELOW", (0, 0), (-1, 0), 0.8, _TEXT), ("VALIGN", (0, 0), (-1, 0), "BOTTOM")]
        for y, row in enumerate(grid.rows, start=1):
            cells = []
            for i, text in enumerate(row):
                state = STATES.get(text) if i == grid.states else None
                cells.append(
                    self._words(
                        text, right=right[i], bold=state is not None, size=7.2, colour=state[0] if state else _TEXT
                    )
                )
                if state:
                    style.append(("BACKGROUND", (i, y), (i, y), state[1]))
            rows.append(cells)
        if grid.states is not None:
            style.append(("LEFTPADDING", (grid.states, 0), (grid.states + 1, -1), 4))
        caption = self._words(grid.caption, bold=True, size=7.8)
        notes = [self._words(note, colour=_MUTED, size=6.6) for note in grid.notes]
        table = _table(rows, widths, style, head=1)
        few = len(grid.rows) <= 14
        whole = [Spacer(1, 4), caption, Spacer(1, 2), table, Spacer(1, 2), *notes]
        return [KeepTogether(whole) if few else CondPageBreak(90), *([] if few else whole), Spacer(1, 6)]

    def _row(self, items: Sequence[Chart | Picture]) -> list[Flowable]:
        pictures = bool(items) and isinstance(items[0], Picture)
        wide, across = (_PICTURE, 4) if pictures else (_CHART, 2)
        gap = (WIDTH - across * wide) / (across - 1)
        cells = [self._figure(item, wide) for item in items]
        cells += [[]] * (-len(cells) % across)
        rows = [cells[i : i + across] for i in range(0, len(cells), across)]
        style = [("RIGHTPADDING", (0, 0), (-2, -1), gap), ("BOTTOMPADDING", (0, 0), (-1, -1), 6)]
        return [_table(rows, [wide + gap] * (across - 1) + [wide], style), Spacer(1, 3)] if rows else []

    def _figure(self, item: Chart | Picture, wide: float) -> list[Flowable]:
        if isinstance(item, Picture):
            return [_Pixels(item, wide), Spacer(1, 2), self._words(item.caption, colour=_MUTED, size=6.6)]
        said = [self._words(item.caption, size=7.2, bold=True), self._words(item.alt, size=6.6, colour=_MUTED)]
        return [_Field(item.drawing, wide, self.characters), Spacer(1, 2), *said]


def numbered_canvas(write: Callable[[Canvas, int, int], None]) -> type[Canvas]:
    """A canvas that calls ``write(canvas, page, pages)`` on every page once all are there."""

    class Numbered(Canvas):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, state in enumerate(self._pages, start=1):
                self.__dict__.update(state)
                write(self, number, len(self._pages))
                super().showPage()
            super().save()

    return Numbered


def margin_writer(flow: Flow) -> Callable[[Canvas, int, int], None]:
    """What stands at the foot of every page."""

    def write(canvas: Canvas, number: int, pages: int) -> None:
        canvas.setFont(PLAIN, 7)
        canvas.setFillColor(HexColor(_MUTED))
        canvas.drawRightString(PAGE[0] - ACROSS, BELOW - 16, f"page {number} of {pages}")
        canvas.drawString(ACROSS, BELOW - 16, drawable(flow.document.name, flow.characters))

    return write


def _table(rows: list, widths: Sequence[float], style: Sequence[tuple] = (), head: int = 0) -> Table:
    bare = [(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")]
    return Table(
        rows,
        colWidths=list(widths),
        repeatRows=head,
        hAlign="LEFT",
        style=[*bare, ("VALIGN", (0, 0), (-1, -1), "TOP"), *style],
    )


def _lines() -> list[tuple[Any, ...]]:
    return [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
        ("TOPPADDING", (0, 0), (-1, -1), 1.6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.0),
        ("RIGHTPADDING", (0, 0), (-2, -1), 4),
    ]


class _Rule(Flowable):
    """A line across the page."""

    def wrap(self, *_: float) -> tuple[float, float]:
        return WIDTH, 4

    def draw(self) -> None:
        self.canv.setStrokeColor(HexColor(_LINE))
        self.canv.setLineWidth(0.8)
        self.canv.line(0, 1, WIDTH, 1)


class _Outline(Flowable):
    """An entry of the PDF's table of contents; takes no space."""

    def __init__(self, title: str, key: str) -> None:
        super().__init__()
        self.title, self.key = title, key

    def wrap(self, *_: float) -> tuple[float, float]:
        return 0, 0

    def draw(self) -> None:
        self.canv.bookmarkHorizontal(f"outline-{self.key}", 0, 20)
        self.canv.addOutlineEntry(self.title, f"outline-{self.key}", level=0)


class _Pixels(Flowable):
    """A picture at ``wide`` points, with no more pixels than _DPI asks for."""

    def __init__(self, picture: Picture, wide: float) -> None:
        super().__init__()
        height, width = picture.pixels.shape[:2]
        self.pixels, self.width, self.height = picture.pixels, wide, wide * height / width

    def draw(self) -> None:
        small = fitted(self.pixels, round(max(self.width, self.height) * _DPI / 72))
        self.canv.drawImage(ImageReader(Image.fromarray(small)), 0, 0, self.width, self.height)


class _Field(Flowable):
    """A drawing at ``wide`` points."""

    def __init__(self, drawing: Drawing, wide: float, characters: frozenset[int]) -> None:
        super().__init__()
        self.drawing, self.characters, self.scale = drawing, characters, wide / drawing.width
        self.width, self.height = wide, drawing.height * self.scale

    def draw(self) -> None:
        canvas = self.canv
        canvas.scale(self.scale, self.scale)
        for mark in self.drawing.marks:
            places = [(x, self.drawing.height - y) for x, y in mark.points]
            canvas.setFillColor(HexColor(COLOURS[mark.role]))
            canvas.setStrokeColor(HexColor(COLOURS[mark.role]))
            canvas.setDash([4, 3] if mark.dashed else [])
            canvas.setLineWidth({"grid": 0.5, "muted": 0.8}.get(mark.role, 1.2))
            if mark.kind == "text":
                self._write(mark, places[0])
            elif mark.kind == "dot":
                canvas.circle(*places[0], 2.0, stroke=0, fill=1)
            else:
                path = canvas.beginPath()
                path.moveTo(*places[0])
                for place in places[1:]:
                    path.lineTo(*place)
                area = mark.kind == "area"
                canvas.drawPath(path, stroke=not area, fill=area)

    def _write(self, mark: Mark, place: tuple[float, float]) -> None:
        canvas = self.canv
        canvas.saveState()
        canvas.translate(*place)
        if mark.turned:
            canvas.rotate(90)
        canvas.setFont(PLAIN, FONT)
        write = {"start": canvas.drawString, "middle": canvas.drawCentredString, "end": canvas.drawRightString}
        write[mark.anchor](0, 0, drawable(mark.text, self.characters))
        canvas.restoreState()
