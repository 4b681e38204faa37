"""What is a report made of, before anybody lays it out? Sections of words, tables, charts and pictures, all clean text.

HTML and PDF lay the same blocks out, so that both say the same. Text from outside is cleaned where a block is made:
one line, bounded, without control or direction marks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

import numpy as np

from her2core.io.text import clean_text
from her2core.report.drawing import Drawing

#: Longest sentence and longest cell; a name in a table is never a sentence.
SENTENCE, CELL = 1200, 320

Tone = Literal["plain", "muted", "note", "strong"]


def _clean_all(block: object, **lengths: int) -> None:
    """Clean every text of a frozen block in place, however deep; ``lengths`` by field, SENTENCE where left out."""
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
    """A paragraph. ``note``: to be seen before anything else; ``strong``: a heading inside a section."""

    text: str
    tone: Tone = "plain"

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Facts:
    """Pairs (what, value)."""

    rows: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        _clean_all(self, rows=SENTENCE)


@dataclass(frozen=True)
class Grid:
    """A table of text. ``wide``: share of the width of each column; ``right``: columns set to the right; ``notes``
    stand below it; ``states``: a column whose cells are coloured by what they say (checklists)."""

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
        """Widths that sum to one."""
        wide = self.wide or (1.0,) * len(self.head)
        return tuple(w / sum(wide) for w in wide)


@dataclass(frozen=True)
class Chart:
    """A figure: ``alt`` says in words what it shows."""

    caption: str
    alt: str
    drawing: Drawing

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Picture:
    """uint8 (H, W, 3) RGB with a caption and words for those who do not see it."""

    caption: str
    alt: str
    pixels: np.ndarray

    def __post_init__(self) -> None:
        _clean_all(self)


@dataclass(frozen=True)
class Row:
    """Charts or pictures beside each other."""

    items: tuple[Chart | Picture, ...]


Block = Words | Points | Facts | Grid | Row


@dataclass(frozen=True)
class Section:
    """``key`` is its anchor; ``number`` what other sections call it by."""

    key: str
    number: int
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole report. ``banners`` and ``warnings`` stand before any number, ``flags``, the same in a few words, on
    every page of the PDF; ``subject`` says what is reported; ``created``: when the run was made, None if unknown."""

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
        return f"Report: {self.name}"
