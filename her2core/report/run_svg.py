"""Charts of the run report as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

from html import escape

from her2core.report.drawing import FONT, Drawing, Mark


def render_svg(drawing: Drawing, *, alt: str) -> str:
    """One ``<svg>`` element with classes instead of colours, so that light and dark follow the page.

    Parameters
    ----------
    drawing : Drawing
        Marks in points.
    alt : str
        Text alternative for readers who do not see the chart.

    Returns
    -------
    str
        No ids and no script.

    Examples
    --------
    >>> render_svg(Drawing((Mark("dot", ((1, 2),), "c0"),)), alt="A point")[-50:]
    '<circle class="f c0" cx="1" cy="2" r="2.2"/></svg>'
    """
    inner = "".join(map(_mark, drawing.marks))
    box = f"0 0 {drawing.width:g} {drawing.height:g}"
    label = escape(alt)
    return f'<svg viewBox="{box}" role="img" aria-label="{label}" font-size="{FONT:g}">{inner}</svg>'


def _mark(mark: Mark) -> str:
    if mark.kind == "text":
        ((x, y),) = mark.points
        turn = f' transform="rotate(-90 {x:g} {y:g})"' if mark.turned else ""
        return (
            f'<text class="t {mark.role}" x="{x:g}" y="{y:g}" text-anchor="{mark.anchor}"{turn}>'
            f"{escape(mark.text)}</text>"
        )
    if mark.kind == "dot":
        ((x, y),) = mark.points
        return f'<circle class="f {mark.role}" cx="{x:g}" cy="{y:g}" r="2.2"/>'
    points = " ".join(f"{x:g},{y:g}" for x, y in mark.points)
    if mark.kind == "area":
        return f'<polygon class="f {mark.role}" points="{points}"/>'
    dash = ' stroke-dasharray="4 3"' if mark.dashed else ""
    return f'<polyline class="l {mark.role}" points="{points}"{dash}/>'
