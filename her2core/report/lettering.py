"""Which glyphs stand for this text in the PDF? Text and a font's characters in; text that the font can draw out.

A PDF holds glyphs from left to right, so writing from right to left has to be put in that order first. This follows
the Unicode bidirectional algorithm (UAX 9) for one line whose own direction is left to right, without explicit
directions (the report drops those); Arabic letters are not joined.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container

_MIRRORED = str.maketrans("()[]{}<>", ")(][}{><")


def drawable(text: str, characters: Container[int]) -> str:
    """``text`` in the order in which it is drawn; a character that is not in ``characters`` becomes U+FFFD."""
    return visual("".join(c if ord(c) in characters else "\ufffd" for c in text))


def visual(text: str) -> str:
    """Logical order -> order of drawing from left to right."""
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
    """Right-to-left writing turned round: a letter keeps its marks behind it, a number its digits in order."""
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
