"""Axes of the reports' figures by matplotlib, and their SVG: equal for equal figures, no date, no random id."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from her2core.identity import LIGHT
from her2core.report.fonts import report_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Width and height of a figure in points.
WIDTH, HEIGHT = 244.0, 180.0
#: Margins in points above the axes, and below them for ticks and title.
_ABOVE, _BELOW = 6.0, 28.0
#: matplotlib's settings hold for the whole process, and sessions are threads.
_ONE_AT_A_TIME = threading.Lock()
#: Part of a figure -> role of its colour on the page; templates/figures.mplstyle has the other settings.
_COLOURS = {
    "axes.labelcolor": "ink",
    "axes.edgecolor": "line",
    "grid.color": "grid",
    "text.color": "ink",
    "xtick.color": "muted",
    "ytick.color": "muted",
}


def draw(
    plot: Callable[[Axes], None],
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
    left: float = 40.0,
    right: float = 12.0,
) -> bytes:
    """SVG of one set of axes.

    Parameters
    ----------
    plot : callable
        Draws on the axes that it is given.
    width, height : float
        Size in points.
    left, right : float
        Margins in points, for what stands beside the axes; fixed, since measuring text takes as long as drawing.

    Returns
    -------
    bytes
        One ``<svg>`` element; equal for equal drawings.

    Raises
    ------
    ConfigError
        A package was installed without its fonts.

    Examples
    --------
    >>> svg = draw(lambda axes: axes.plot([0, 1], [0, 1]))
    >>> svg[:4], svg == draw(lambda axes: axes.plot([0, 1], [0, 1]))
    (b'<svg', True)
    """
    import matplotlib
    from matplotlib.figure import Figure

    fonts = report_fonts()
    settings: dict[Any, object] = {part: LIGHT[role] for part, role in _COLOURS.items()}
    style = str(files("her2core.report") / "templates" / "figures.mplstyle")
    with _ONE_AT_A_TIME, matplotlib.rc_context(settings, style), warnings.catch_warnings():
        # Widths are measured with fonts that may lack a script; who shows the SVG has others.
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from")
        _register(fonts.files)
        matplotlib.rcParams["font.family"] = list(fonts.families)
        figure = Figure(figsize=(width / 72, height / 72))
        low, high = _BELOW / height, 1 - _ABOVE / height
        plot(figure.add_axes((left / width, low, 1 - (left + right) / width, high - low)))
        stream = io.BytesIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=empty)
    svg = stream.getvalue()
    return re.sub(rb"\s*<metadata>.*?</metadata>", b"", svg[svg.index(b"<svg") :], flags=re.DOTALL).strip()


def percent_axis(axes: Axes, which: str, title: str, *, limits: tuple[float, float] = (0.0, 1.0)) -> None:
    """Set up one axis of shares, labelled in percent.

    Parameters
    ----------
    axes : Axes
        Changed in place.
    which : {'x', 'y'}
        The axis.
    title : str
        Its title.
    limits : (float, float)
        First and last value.

    Examples
    --------
    >>> svg = draw(lambda axes: percent_axis(axes, "x", "coverage", limits=(0, 0.2)))
    >>> b"20 %" in svg, b"coverage" in svg
    (True, True)
    """
    axes.set(**{f"{which}lim": limits, f"{which}label": title})
    shown = getattr(axes, f"{which}axis")
    shown.set_ticks(_ticks(*limits))
    shown.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def name_axis(axes: Axes, names: Sequence[str]) -> None:
    """Put names on the y axis from top to bottom, each at its position 0, 1, ...

    Examples
    --------
    >>> b"$positive$" in draw(lambda axes: name_axis(axes, ["negative", "$positive$"]))
    True
    """
    axes.set_yticks(range(len(names)), list(names), color=LIGHT["ink"])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _ticks(low: float, high: float) -> list[float]:
    """Round shares from 0 to ``high``, six at most."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.25) if high / s <= 5 or s == 0.25)
    return [step * i for i in range(int(high / step + 1e-9) + 1) if step * i >= low]


def _register(fonts: Sequence[object]) -> None:
    """Make matplotlib know fonts from outside its folder."""
    from matplotlib import font_manager

    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for file in map(str, fonts):
        if file not in known:
            font_manager.fontManager.addfont(file)
