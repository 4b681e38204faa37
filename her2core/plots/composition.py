"""Composition of a data set: counts by group (split, site) and class."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import apply_layout, class_colours, html_text

#: A second sign beside the colour, by position in the scheme.
_PATTERNS = ("", "/", ".", "x", "-", "+")
#: Groups that a text alternative lists.
_LISTED = 6


def composition_figure(table: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Plot one stacked bar a group with one segment a class.

    Parameters
    ----------
    table : pandas.DataFrame
        ``group``, ``class`` and ``count``, groups in the order wanted.
    classes : sequence of str
        Class names in their order.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> table = pd.DataFrame({"group": ["train", "test"], "class": "positive", "count": [30, 10]})
    >>> [int(n) for n in composition_figure(table, ("positive",)).data[0].x]
    [30, 10]
    """
    colours = class_colours(classes)
    groups = [str(g) for g in table["group"].unique()]
    figure = go.Figure()
    for position, name in enumerate(classes):
        rows = table[table["class"] == name]
        label = html_text(name)
        pattern = {"shape": _PATTERNS[position % len(_PATTERNS)], "size": 6}
        figure.add_bar(
            y=rows["group"].astype(str),
            x=rows["count"],
            name=label,
            orientation="h",
            marker={"color": colours[name], "pattern": pattern},
            hovertemplate=f"%{{y}}, {label}: %{{x:,}}<extra></extra>",
        )
    figure.update_yaxes(type="category", autorange="reversed", categoryorder="array", categoryarray=groups)
    figure.update_xaxes(tickformat=",d")
    return apply_layout(figure, height=130 + 34 * len(groups), legend=True, values="x").update_layout(barmode="stack")


def composition_description(table: pd.DataFrame, classes: Sequence[str], counted: str) -> str:
    """Describe ``composition_figure``.

    Parameters
    ----------
    table, classes
        As for ``composition_figure``.
    counted : str
        What was counted: patches, patients or slides.

    Returns
    -------
    str
        Text alternative; the first six groups.
    """
    groups = list(table["group"].unique())
    parts = []
    for group in groups[:_LISTED]:
        counts = table[table["group"] == group].set_index("class")["count"].reindex(list(classes))
        parts.append(f"{group}: " + ", ".join(f"{int(n):,} {c}" for c, n in counts.items() if not pd.isna(n)))
    more = f"; and {len(groups) - _LISTED} more groups" if len(groups) > _LISTED else ""
    return f"{counted.capitalize()} by class. {'; '.join(parts)}{more}."
