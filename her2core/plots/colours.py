"""Colours of classes, and the one template of all figures.

Its text has the ink of a light page (``her2core.identity``); a page may lay its own over it, as the dashboard does. All
other colours are legible on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from her2core.identity import CLASS_COLOURS, LIGHT

#: Colours in the order in which lines and classes take them.
CYCLE = CLASS_COLOURS
#: Text of a figure.
INK = LIGHT["ink"]
#: Visible on a light and on a dark page.
TRANSPARENT, GRID, NEUTRAL = "rgba(0,0,0,0)", "rgba(128,128,128,0.25)", "rgba(128,128,128,0.6)"
#: Fill of the band between two interval bounds.
BAND = "rgba(47,127,193,0.2)"
_AXIS = {"gridcolor": GRID, "zerolinecolor": NEUTRAL, "zeroline": False, "automargin": True, "title": {"standoff": 8}}
#: What all figures share: no frame, no background, small margins, the legend above the axes.
TEMPLATE = go.layout.Template(
    layout={
        "colorway": CYCLE,
        "font": {"color": INK, "size": 13},
        "paper_bgcolor": TRANSPARENT,
        "plot_bgcolor": TRANSPARENT,
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "traceorder": "normal"},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Return a colour for each class by its position, so that a class keeps its colour from page to page.

    Parameters
    ----------
    classes : sequence of str
        Class names in their order.

    Returns
    -------
    dict
        Class name -> CSS colour; colours repeat after twelve classes.

    Examples
    --------
    >>> class_colours(("negative", "positive"))
    {'negative': '#2f7fc1', 'positive': '#c98500'}
    """
    return {name: CYCLE[i % len(CYCLE)] for i, name in enumerate(classes)}


def apply_layout(
    figure: go.Figure, *, height: int, legend: bool = False, values: Literal["x", "y", "xy", ""] = "y"
) -> go.Figure:
    """Give a figure the template, its height, and lines across the axes of its values.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Changed in place.
    height : int
        In pixels.
    legend : bool
        Whether to show the legend, above the axes.
    values : {"x", "y", "xy", ""}
        Axes that have values, not categories or pixels.

    Returns
    -------
    plotly.graph_objects.Figure
        ``figure`` itself.

    Examples
    --------
    >>> apply_layout(go.Figure(), height=300).layout.height
    300
    """
    figure.update_xaxes(showgrid="x" in values, gridcolor=GRID)
    figure.update_yaxes(showgrid="y" in values, gridcolor=GRID)
    margin, legends = (TEMPLATE.layout[part].to_plotly_json() for part in ("margin", "legend"))
    # Margins and legend again: a page's own template, laid over this one, has others.
    return figure.update_layout(
        template=TEMPLATE,
        height=height,
        showlegend=legend,
        margin=margin,
        legend=legends,
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
    )


def html_text(text: object) -> str:
    """Escape text for Plotly, which takes names, ticks and hover texts for HTML.

    Examples
    --------
    >>> html_text("<b>HER2</b> & HER3")
    '&lt;b&gt;HER2&lt;/b&gt; &amp; HER3'
    """
    return escape(str(text), quote=False)


def class_ticks(classes: Sequence[str]) -> dict[str, object]:
    """Return the axis options that show class names as they are, even where they look like numbers or markup.

    Examples
    --------
    >>> class_ticks(("0", "<b>1</b>"))["ticktext"]
    ['0', '&lt;b&gt;1&lt;/b&gt;']
    """
    return {"type": "category", "tickvals": list(classes), "ticktext": [html_text(name) for name in classes]}


def interval_bar(value: float, lower: float, upper: float, *, thickness: float = 2) -> dict[str, object]:
    """Return Plotly's description of an asymmetric error bar for one interval.

    Examples
    --------
    >>> bar = interval_bar(0.5, 0.25, 0.625)
    >>> bar["array"], bar["arrayminus"]
    ([0.125], [0.25])
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": [upper - value],
        "arrayminus": [value - lower],
        "thickness": thickness,
    }


def interval_text(value: float, lower: float, upper: float, form: str = ".1%", *, without: str = "") -> str:
    """Format a value with its interval for a text alternative.

    Parameters
    ----------
    value, lower, upper : float
        NaN where not computable.
    form : str
        Format of each number.
    without : str
        What to write in place of the brackets where there is no interval.

    Returns
    -------
    str
        "50.0% [40.0%, 60.0%]", or "not computable".

    Examples
    --------
    >>> interval_text(0.5, 0.4, 0.6)
    '50.0% [40.0%, 60.0%]'
    >>> interval_text(float("nan"), 0.4, 0.6)
    'not computable'
    """
    if pd.isna(value):
        return "not computable"
    bounds = without if pd.isna(lower) else f"[{lower:{form}}, {upper:{form}}]"
    return f"{value:{form}} {bounds}".rstrip()
