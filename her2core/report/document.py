"""Document model of the run report: sections of text, tables, charts and images, all with sanitised text.

HTML and PDF lay out the same blocks, so that both have the same content. Text from outside is sanitised where a block
is constructed: one line, bounded, without control or directional characters (``her2core.io.text``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np

from her2core.io.text import clean_text
from her2core.report.drawing import Drawing

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Longest sentence and longest cell; a name in a table is never a sentence.
SENTENCE, CELL = 1200, 320

Tone = Literal["plain", "muted", "note", "strong"]


def _clean_all(block: DataclassInstance, **lengths: int) -> None:
    """Sanitise every text of a frozen block in place, however deep; ``lengths`` by field, SENTENCE by default."""
    for field in fields(block):
        value = getattr(block, field.name)
        object.__setattr__(block, field.name, _cleaned(value, lengths.get(field.name, SENTENCE)))


def _cleaned(value: object, length: int) -> object:
    if isinstance(value, str):
        return clean_text(value, length)
    if isinstance(value, tuple):
        return tuple(_cleaned(v, length) for v in value)
    return value


@dataclass(frozen=True)
class Words:
    """A paragraph. Tone ``note``: highlighted; ``strong``: a heading inside a section."""

    text: str
    tone: Tone = "plain"

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Points:
    """A bulleted list of sentences."""

    items: tuple[str, ...]

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Facts:
    """A two-column table of (label, value)."""

    rows: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        _clean_all(self, rows=SENTENCE)


@dataclass(frozen=True)
class Grid:
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
        Column whose cells are coloured by their state (checklists).
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: tuple[float, ...] = ()
    right: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    states: int | None = None

    def __post_init__(self) -> None:
        _clean_all(self, head=CELL, rows=CELL)

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


@dataclass(frozen=True)
class Chart:
    """A chart; ``alt`` is its text alternative."""

    caption: str
    alt: str
    drawing: Drawing

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Picture:
    """An image, uint8 (H, W, 3) RGB, with caption and text alternative."""

    caption: str
    alt: str
    pixels: np.ndarray

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Row:
    """Charts or images side by side."""

    items: tuple[Chart | Picture, ...]


Block = Words | Points | Facts | Grid | Row


@dataclass(frozen=True)
class Section:
    """A numbered section; ``key`` is its anchor."""

    key: str
    number: int
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole report.

    Attributes
    ----------
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
    """

    name: str
    subject: str
    banners: tuple[str, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    made_with: str
    flags: tuple[str, ...] = ()
    created: datetime | None = None

    def __post_init__(self) -> None:
        _clean_all(self, name=90)

    @property
    def title(self) -> str:
        """Title of the file."""
        return f"Report: {self.name}"
