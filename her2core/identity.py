"""Visual identity: the mark, the colours of classes, grades and pages, shared by dashboard, figures and reports.

Colours of classes are legible (contrast of 3 and more, WCAG 2.2 criterion 1.4.11) on a white page and on a dark one, so
that a class has one colour everywhere. The first three, of the three classes of HER2, keep a CIEDE2000 difference of 18
or more under simulated protanopia, deuteranopia and tritanopia (Machado, Oliveira and Fernandes 2009, doi
10.1109/TVCG.2009.113); tests/test_identity.py computes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The mark, and the mark with the name.
ASSETS = Path(__file__).resolve().parent / "assets"

#: Colours of classes in the order of their label scheme, repeated after twelve.
CLASS_COLOURS = (
    "#2f7fc1",
    "#c98500",
    "#b02a74",
    "#14885f",
    "#d4562a",
    "#7a68d0",
    "#8a6d1f",
    "#17899c",
    "#cc5c8e",
    "#64851f",
    "#7d7a86",
    "#9a5fb0",
)


@dataclass(frozen=True)
class Tone:
    """Text and background of an assessment, on a light and on a dark page."""

    text: str
    ground: str
    text_dark: str
    ground_dark: str


#: What an assessment says about a number: it stands, within limits, not, or nobody can know.
TONES = {
    "good": Tone("#0b5d3d", "#e0f3ea", "#8fe0bb", "#12352a"),
    "limits": Tone("#6b4700", "#fdf0d0", "#ffd98a", "#382a0c"),
    "bad": Tone("#8f1d1d", "#fbe3e1", "#ffb4ad", "#43191b"),
    "unknown": Tone("#4a4652", "#eeecf1", "#c9c4d1", "#2b2833"),
}
#: A note that assesses nothing.
NOTE = Tone("#4f2a61", "#f3eef6", "#dcc3e6", "#2d2236")
#: Tone of each grade of the verdict, each answer of it, and each state of an item of a guideline.
TONE_OF = {
    "supports the claim": "good",
    "limits the claim": "limits",
    "contradicts the claim": "bad",
    "not known": "unknown",
    "Yes": "good",
    "Within limits": "limits",
    "Not known": "unknown",
    "No": "bad",
    "met": "good",
    "partly": "limits",
    "not reported": "unknown",
    "not applicable": "unknown",
}

#: Colours of a page by role, light and dark.
LIGHT = {
    "page": "#ffffff",
    "panel": "#f7f5f9",
    "ink": "#1d1a22",
    "muted": "#5b5664",
    "line": "#dcd7e2",
    "grid": "#e6e2eb",
    "accent": "#6f3a86",
    "band": "#d6e5f3",
}
DARK = {
    "page": "#14131a",
    "panel": "#1e1c26",
    "ink": "#ece9f1",
    "muted": "#b5aebf",
    "line": "#3b3745",
    "grid": "#322f3b",
    "accent": "#c99ada",
    "band": "#1d3a55",
}
#: Cells of a matrix from none to all of a row: a purple laid over the page, whose ink is legible on it, light or dark.
CELLS = ("rgba(146,84,176,0.08)", "rgba(146,84,176,0.62)")


def class_colour(position: int) -> str:
    """Colour of the class at a position of its label scheme.

    Parameters
    ----------
    position : int
        From 0.

    Returns
    -------
    str
        ``#rrggbb``.

    Examples
    --------
    >>> class_colour(0), class_colour(12) == class_colour(0)
    ('#2f7fc1', True)
    """
    return CLASS_COLOURS[position % len(CLASS_COLOURS)]


def mark_svg() -> str:
    """The mark: a nucleus, and a membrane whose staining grows from faint and incomplete to intense and complete.

    Returns
    -------
    str
        One ``<svg>`` element of 32 x 32 units in the colours of the three classes; no ids, no script.

    Examples
    --------
    >>> mark_svg()[:4]
    '<svg'
    """
    return (ASSETS / "mark.svg").read_text(encoding="utf-8").strip()
