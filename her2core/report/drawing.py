"""Vector charts of the report: marks in points, independent of the output format.

A ``Drawing`` is a few lines, areas, dots and texts in points (1/72 inch, y downwards); ``run_svg`` and ``run_flow``
draw the same marks. ``Axes`` maps data to positions. No statistic is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["line", "area", "dot", "text"]
Place = tuple[float, float]
#: Width and height of a figure in points, and the margins for tick labels and titles.
WIDTH, HEIGHT = 250.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 14.0, 8.0, 32.0
FONT = 7.5


@dataclass(frozen=True)
class Mark:
    """One mark. ``role`` names its colour (ink, muted, grid, band, c0 to c11); ``anchor`` as in SVG, for text."""

    kind: Kind
    points: tuple[Place, ...]
    role: str
    text: str = ""
    anchor: Literal["start", "middle", "end"] = "start"
    dashed: bool = False
    turned: bool = False


@dataclass(frozen=True)
class Drawing:
    """Marks in the order they are drawn, on an area of ``width`` x ``height`` points."""

    marks: tuple[Mark, ...]
    width: float = WIDTH
    height: float = HEIGHT


@dataclass
class Axes:
    """A plotting area with two linear axes: add marks, then call ``drawing()``.

    Attributes
    ----------
    x, y : (float, float)
        Limits of the axes in data units.
    x_title, y_title : str
        Axis titles.
    x_ticks, y_ticks : sequence of (float, str)
        Tick positions in data units, with labels.
    width, height, left : float
        Size and left margin in points.
    marks : list of Mark
        Marks added so far.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_title: str
    y_title: str
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    marks: list[Mark] = field(default_factory=list)

    def __post_init__(self) -> None:
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        for value, words in self.x_ticks:
            place, _ = self._at(value, self.y[0])
            self.marks.append(Mark("line", ((place, TOP), (place, bottom)), "grid"))
            self.marks.append(Mark("text", ((place, bottom + FONT + 3),), "muted", words, "middle"))
        for value, words in self.y_ticks:
            _, place = self._at(self.x[0], value)
            self.marks.append(Mark("line", ((self.left, place), (right, place)), "grid"))
            self.marks.append(Mark("text", ((self.left - 4, place + FONT / 3),), "muted", words, "end"))
        middle = (self.left + right) / 2
        self.marks.append(Mark("text", ((middle, self.height - 6),), "ink", self.x_title, "middle"))
        if self.y_title:
            self.marks.append(Mark("text", ((9.0, (TOP + bottom) / 2),), "ink", self.y_title, "middle", turned=True))

    def line(self, xs: Sequence[float], ys: Sequence[float], role: str, *, dashed: bool = False) -> None:
        """A polyline through the points that are finite and inside the plotting area; interrupted where one is not.

        Examples
        --------
        >>> axes = Axes((0, 1), (0, 1), "x", "y")
        >>> axes.line([0, 0.5, 1], [0, 0.7, 1], "c0")
        >>> axes.marks[-1].kind
        'line'
        """
        for run in _runs(xs, ys):
            if len(run) > 1:
                self.marks.append(Mark("line", self._all(run), role, dashed=dashed))

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], role: str = "band") -> None:
        """The area between two curves, where both are finite.

        Examples
        --------
        >>> axes = Axes((0, 1), (0, 1), "x", "y")
        >>> axes.band([0, 1], [0.1, 0.2], [0.3, 0.4])
        >>> axes.marks[-1].kind
        'area'
        """
        kept = [(x, a, b) for x, a, b in zip(xs, low, high, strict=True) if math.isfinite(a) and math.isfinite(b)]
        if len(kept) > 1:
            round_trip = [(x, b) for x, _, b in kept] + [(x, a) for x, a, _ in reversed(kept)]
            self.marks.append(Mark("area", self._all(round_trip), role))

    def dots(self, xs: Sequence[float], ys: Sequence[float], role: str) -> None:
        """A dot at each finite point.

        Examples
        --------
        >>> axes = Axes((0, 1), (0, 1), "x", "y")
        >>> axes.dots([0.5], [0.5], "c0")
        >>> axes.marks[-1].kind
        'dot'
        """
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                self.marks.append(Mark("dot", (self._at(x, y),), role))

    def bar(self, ends: tuple[Place, Place], role: str) -> None:
        """A straight line between two points: an interval.

        Examples
        --------
        >>> axes = Axes((0, 1), (0, 1), "x", "y")
        >>> axes.bar(((0.5, 0.4), (0.5, 0.6)), "c0")
        >>> axes.marks[-1].kind
        'line'
        """
        if all(map(math.isfinite, (*ends[0], *ends[1]))):
            self.marks.append(Mark("line", self._all(ends), role))

    def legend(
        self, names: Sequence[tuple[str, str]], *, corner: Literal["right", "left"] = "right", low: bool = True
    ) -> None:
        """Labels in the colours of their lines (text, role), in a corner of the plotting area.

        Examples
        --------
        >>> axes = Axes((0, 1), (0, 1), "x", "y")
        >>> axes.legend([("network", "c0")])
        >>> axes.marks[-1].kind
        'text'
        """
        step = FONT + 2.5
        top = self.height - BOTTOM - 5 - step * (len(names) - 1) if low else TOP + FONT + 2
        place = self.width - RIGHT - 4 if corner == "right" else self.left + 5
        for i, (words, role) in enumerate(names):
            anchor: Literal["start", "end"] = "end" if corner == "right" else "start"
            self.marks.append(Mark("text", ((place, top + i * step),), role, words, anchor))

    def drawing(self) -> Drawing:
        """The finished chart.

        Examples
        --------
        >>> axes = Axes((0, 1), (0, 1), "x", "y")
        >>> axes.drawing().width
        250.0
        """
        return Drawing(tuple(self.marks), self.width, self.height)

    def _at(self, x: float, y: float) -> Place:
        inside = self.width - self.left - RIGHT, self.height - TOP - BOTTOM
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (min(max(y, self.y[0]), self.y[1]) - self.y[0]) / (self.y[1] - self.y[0])
        return (round(self.left + across * inside[0], 2), round(TOP + (1 - up) * inside[1], 2))

    def _all(self, places: Sequence[Place]) -> tuple[Place, ...]:
        return tuple(self._at(x, y) for x, y in places)


def shares(*at: float) -> list[tuple[float, str]]:
    """Ticks at these shares, labelled in percent.

    Examples
    --------
    >>> shares(0, 0.5)
    [(0, '0 %'), (0.5, '50 %')]
    """
    return [(v, f"{100 * v:.0f} %") for v in at]


def _runs(xs: Sequence[float], ys: Sequence[float]) -> list[list[Place]]:
    runs: list[list[Place]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            runs[-1].append((float(x), float(y)))
        elif runs[-1]:
            runs.append([])
    return runs
