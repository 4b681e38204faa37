"""Visual order of bidirectional text for PDF.

A PDF stores glyphs from left to right, so right-to-left script has to be reordered first. This follows the Unicode
bidirectional algorithm (Unicode Standard Annex 9) for one line whose base direction is left to right, without explicit
directional marks (the report removes those); Arabic letters are not joined.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container

_MIRRORED = str.maketrans("()[]{}<>", ")(][}{><")


def drawable(text: str, characters: Container[int]) -> str:
    """``text`` in visual order, with U+FFFD for every character that the font lacks.

    Parameters
    ----------
    text : str
        Text in logical order.
    characters : container of int
        Code points that the font can draw.

    Examples
    --------
    >>> drawable("a\u6a19", {ord("a")}) == "a\ufffd"
    True
    """
    return visual("".join(c if ord(c) in characters else "\ufffd" for c in text))


def visual(text: str) -> str:
    """Text in the order in which it is drawn from left to right.

    Examples
    --------
    >>> visual("id \u05d0\u05d1 12") == "id 12 \u05d1\u05d0"
    True
    """
    kinds = [_kind(c) for c in text]
    out, i = "", 0
    while i < len(text):
        if kinds[i] != "R":
            out, i = out + text[i], i + 1
            continue
        # From here to the last right-to-left letter or number before the next left-to-right letter.
        end = next((j for j in range(i, len(text)) if kinds[j] == "L"), len(text))
        while kinds[end - 1] not in "RNM":
            end -= 1
        out, i = out + _reversed(text[i:end]), end
    return out


def _reversed(span: str) -> str:
    """Right-to-left text reversed: a letter keeps its marks behind it, a number its digits in order."""
    pieces: list[str] = []
    previous = ""
    for i, c in enumerate(span):
        kind = _kind(c)
        following = _kind(span[i + 1]) if i + 1 < len(span) else ""
        inside_number = previous == "N" and (kind == "N" or (c in ".,:/" and following == "N"))
        if pieces and (kind == "M" or inside_number):
            pieces[-1] += c
        else:
            pieces.append(c.translate(_MIRRORED))
        if kind != "M":
            previous = "N" if inside_number else kind
    return "".join(reversed(pieces))


def _kind(c: str) -> str:
    """R right to left, L left to right, N number, M mark on a letter, "-" anything else."""
    found = {"R": "R", "AL": "R", "L": "L", "EN": "N", "AN": "N", "NSM": "M"}
    return found.get(unicodedata.bidirectional(c), "-")
