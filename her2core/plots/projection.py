"""Rows as points of a plane, from the places of ``evidence.projection``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, NEUTRAL, apply_layout, html_text

#: Groups that have a colour of their own; all others share one.
MOST_GROUPS = len(CYCLE)
OTHERS = "all others"


def projection_figure(rows: pd.DataFrame, *, order: Sequence[str] = ()) -> go.Figure:
    """Plot a point a row, to be selected by lasso.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``x``, ``y``, ``patch_id``, ``group`` (the colour), and ``right`` (bool; wrong rows are crosses).
    order : sequence of str
        Groups that come first and keep the colour of their position, such as classes.

    Returns
    -------
    plotly.graph_objects.Figure
        One trace a group, by size after those of ``order``; the custom data of a point is its id.

    Examples
    --------
    >>> rows = pd.DataFrame({"x": [0, 1], "y": [0, 1], "patch_id": ["u", "v"], "group": "a", "right": [False, True]})
    >>> list(projection_figure(rows).data[0].marker.symbol)
    ['circle', 'x']
    """
    sizes = rows["group"].value_counts()
    groups = [g for g in order if g in sizes] + [g for g in sizes.index if g not in order]
    figure = go.Figure()
    for number, group in enumerate([*groups[:MOST_GROUPS], OTHERS]):
        inside = ~rows["group"].isin(groups[:MOST_GROUPS]) if group == OTHERS else rows["group"] == group
        # The legend shows the first point's symbol, and wrong rows are drawn above the others.
        of = rows[inside].sort_values("right", ascending=False, kind="stable")
        if of.empty:
            continue
        place = list(order).index(group) if group in order else number
        figure.add_scatter(
            x=of["x"],
            y=of["y"],
            mode="markers",
            name=html_text(group),
            customdata=of["patch_id"],
            marker={
                "size": 7,
                "opacity": 0.8,
                "color": NEUTRAL if group == OTHERS else CYCLE[place % len(CYCLE)],
                "symbol": ["circle" if right else "x" for right in of["right"]],
            },
            hovertemplate=[f"{html_text(name)}<br>{html_text(group)}<extra></extra>" for name in of["patch_id"]],
        )
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False)
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False)
    figure.update_layout(dragmode="lasso")
    return apply_layout(figure, height=520, legend=True, values="")


def projection_description(rows: pd.DataFrame, *, how: str, coloured: str) -> str:
    """Describe ``projection_figure``.

    Parameters
    ----------
    rows : pandas.DataFrame
        As for ``projection_figure``.
    how : str
        How the places were made.
    coloured : str
        What the colour is.

    Returns
    -------
    str

    Examples
    --------
    >>> rows = pd.DataFrame({"group": ["a", "b"], "right": [True, False]})
    >>> projection_description(rows, how="principal components", coloured="true class")
    'principal components; 2 points coloured by true class (2 groups), 1 of them misclassified (crosses).'
    """
    wrong = int((~rows["right"]).sum())
    return (
        f"{how}; {len(rows):,} points coloured by {coloured} ({rows['group'].nunique()} groups), {wrong:,} of them "
        "misclassified (crosses)."
    )
