"""Document model of all reports: sections of text, tables, figures and images, all with sanitised text.

HTML and PDF lay out the same blocks, so that both have the same content. Text from outside is sanitised where a block
is constructed: one line, bounded, without control or directional characters (``her2core.io.text``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from her2core.identity import TONE_OF
from her2core.io.text import clean_text

#: Longest sentence and longest cell; a name in a table is never a sentence.
SENTENCE, CELL = 1200, 320

Tone = Literal["plain", "muted", "note", "strong"]


@dataclass(frozen=True)
class _Sanitised:
    """A part of a document whose texts, however deep, are sanitised where it is constructed."""

    #: Longest text by field, where that is not ``SENTENCE``.
    lengths: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self) -> None:
        for part in fields(self):
            length = self.lengths.get(part.name, SENTENCE)
            object.__setattr__(self, part.name, _cleaned(getattr(self, part.name), length))


def _cleaned(value: object, length: int) -> object:
    if isinstance(value, str):
        return clean_text(value, length)
    if isinstance(value, tuple):
        return tuple(_cleaned(v, length) for v in value)
    return value


@dataclass(frozen=True)
class Words(_Sanitised):
    """A paragraph. Tone ``note``: highlighted; ``strong``: a heading inside a section."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Points(_Sanitised):
    """A bulleted list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Answer(_Sanitised):
    """The answer of a report, set large: a question with its answer, and sentences on it.

    Attributes
    ----------
    text : str
        The answer in a few words.
    sentences : tuple of str
        What it means; the first stands out.
    tone : str
        Key of ``identity.TONES``: how far it can be relied on; empty for the answer of a network.
    """

    text: str
    sentences: tuple[str, ...] = ()
    tone: str = ""


@dataclass(frozen=True)
class Bar(_Sanitised):
    """One row of ``Bars``: ``share`` 0 to 1, ``text`` its label, ``in_set`` None without sets."""

    name: str
    share: float
    text: str
    in_set: bool | None
    top: bool
    colour: str

    lengths: ClassVar = {"name": CELL}


@dataclass(frozen=True)
class Bars:
    """A table of probabilities drawn as bars."""

    rows: tuple[Bar, ...]

    @property
    def sets(self) -> bool:
        """Whether the rows say if a class is in the prediction set."""
        return bool(self.rows) and self.rows[0].in_set is not None


@dataclass(frozen=True)
class Facts(_Sanitised):
    """A two-column table of (label, value)."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Grid(_Sanitised):
    """A table of text.

    Attributes
    ----------
    caption : str
        Caption above the table.
    head, rows : tuple of str, tuple of tuple of str
        Column titles and cells.
    wide : tuple of float
        Relative widths of the columns; equal where empty.
    right : tuple of int
        Right-aligned columns.
    notes : tuple of str
        Footnotes.
    states : int or None
        Column whose cells are coloured by what they assess (``identity.TONE_OF``).
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: tuple[float, ...] = ()
    right: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    states: int | None = None

    lengths: ClassVar = {"head": CELL, "rows": CELL}

    @property
    def shares(self) -> tuple[float, ...]:
        """Relative widths that sum to one.

        Examples
        --------
        >>> Grid("Counts", ("Class", "n"), (("positive", "12"),), wide=(3, 1)).shares
        (0.75, 0.25)
        """
        wide = self.wide or (1.0,) * len(self.head)
        return tuple(w / sum(wide) for w in wide)

    def tone(self, column: int, cell: str) -> str:
        """Key of ``identity.TONES`` for a cell; empty outside the column of assessments.

        Examples
        --------
        >>> Grid("Items", ("Item", "State"), (("1", "met"),), states=1).tone(1, "met")
        'good'
        """
        return TONE_OF.get(cell, "") if column == self.states else ""


@dataclass(frozen=True)
class Chart(_Sanitised):
    """A figure; ``alt`` is its text alternative, ``draw`` makes its SVG."""

    caption: str
    alt: str
    draw: Callable[[], bytes] = field(repr=False, compare=False)

    @cached_property
    def svg(self) -> bytes:
        """The SVG, drawn once, when a file is written."""
        return self.draw()


#: Longest side of an image in px: 46 mm at 250 dpi.
PICTURE_PX = 448


@dataclass(frozen=True)
class Picture(_Sanitised):
    """An image, uint8 (H, W, 3) RGB, with caption and text alternative; the caption where that is empty."""

    caption: str
    alt: str
    pixels: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alt", self.alt or self.caption or "Image")

    def png(self, side: int = PICTURE_PX) -> bytes:
        """The image as PNG without metadata, at most ``side`` px on its longer side (antialiased, aspect ratio kept).

        Examples
        --------
        >>> Picture("Patch", "A patch", np.zeros((100, 200, 3), np.uint8)).png(50)[:4]
        b'\\x89PNG'
        """
        from PIL import Image

        from her2core.io.images import encode_png

        height, width = self.pixels.shape[:2]
        if max(height, width) <= side:
            return encode_png(self.pixels)
        smaller = (max(1, round(n * side / max(height, width))) for n in (width, height))
        return encode_png(np.array(Image.fromarray(self.pixels).resize(tuple(smaller), Image.Resampling.LANCZOS)))


@dataclass(frozen=True)
class Row:
    """Charts or images side by side; ``columns`` of them in a line, by their kind where 0."""

    items: tuple[Chart | Picture, ...]
    columns: int = 0


Block = Words | Points | Answer | Bars | Facts | Grid | Row


@dataclass(frozen=True)
class Section:
    """A section; ``key`` is its anchor, ``number`` 0 where it has none, ``beside`` the one before it on its right."""

    key: str
    number: int
    title: str
    blocks: tuple[Block, ...]
    beside: bool = False


@dataclass(frozen=True)
class Document(_Sanitised):
    """The whole report.

    Attributes
    ----------
    kind : str
        What it is, for every page: "her2core run report".
    name, subject : str
        Name of the run or file, and what was evaluated.
    banners, warnings : tuple of str
        Text that precedes every number.
    sections : tuple of Section
        Sections in order.
    made_with : str
        Package versions.
    flags : tuple of str
        The warnings in a few words, for every page of the PDF.
    created : datetime or None
        When the run was created.
    title : str
        Title of the file, by default "Report: " and the name.
    warned : str
        Heading of the warnings.
    sheet : bool
        Whether it has to fit one page; without a table of contents then.
    """

    kind: str
    name: str
    subject: str
    banners: tuple[str, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    made_with: str
    flags: tuple[str, ...] = ()
    created: datetime | None = None
    title: str = ""
    warned: str = "Before reading any number"
    sheet: bool = False

    lengths: ClassVar = {"name": 90}

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "name", self.name or "unnamed")
        object.__setattr__(self, "title", self.title or f"Report: {self.name}")

    @property
    def figures(self) -> Iterator[Chart | Picture]:
        """Every chart and image in order.

        Examples
        --------
        >>> next(Document("", "", "", (), (), (), "").figures, "none")
        'none'
        """
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Row):
                    yield from block.items
