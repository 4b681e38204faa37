"""Confusion matrix of one unit of analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from her2core.identity import CELLS
from her2core.plots.colours import INK, apply_layout, class_ticks

CellValue = Literal["count", "proportion_of_true"]


def confusion_figure(table: pd.DataFrame, classes: Sequence[str], *, show: CellValue) -> go.Figure:
    """Plot the confusion matrix: rows the true class, columns the predicted one.

    Parameters
    ----------
    table : pandas.DataFrame
        ``true``, ``predicted``, ``count`` and ``proportion_of_true``, one row a cell, of one unit.
    classes : sequence of str
        Class names in their order.
    show : {"count", "proportion_of_true"}
        Cells as counts, or as percentages of the row. The colour is the share of the row in both.

    Returns
    -------
    plotly.graph_objects.Figure
        A heat map, and one transparent marker a cell that can be clicked.

    Examples
    --------
    >>> table = pd.DataFrame({"true": ["a", "a", "b", "b"], "predicted": ["a", "b", "a", "b"], "count": [8, 2, 0, 5],
    ...                       "proportion_of_true": [0.8, 0.2, 0.0, 1.0]})
    >>> confusion_figure(table, ("a", "b"), show="proportion_of_true").data[0].text.tolist()
    [['80%', '20%'], ['0%', '100%']]
    """
    names = list(classes)
    grid = table.pivot(index="true", columns="predicted", values=show).loc[names, names]
    share = table.pivot(index="true", columns="predicted", values="proportion_of_true").loc[names, names]
    text = grid.map(lambda v: "" if pd.isna(v) else f"{v:.0f}" if show == "count" else f"{v:.0%}")
    figure = go.Figure(
        go.Heatmap(
            z=share.to_numpy(),
            x=names,
            y=names,
            text=text.to_numpy(),
            texttemplate="%{text}",
            colorscale=list(enumerate(CELLS)),
            textfont={"color": INK, "size": 15},
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
            hoverinfo="skip",
        )
    )
    # A heat map gives no selection events: transparent markers, one a cell, can be clicked and carry the text.
    cells = [(true, predicted) for true in names for predicted in names]
    figure.add_scatter(
        x=[predicted for _, predicted in cells],
        y=[true for true, _ in cells],
        mode="markers",
        text=[text.loc[true, predicted] for true, predicted in cells],
        hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
        marker={"size": 44, "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
    )
    angle = -40 if len(names) > 4 else 0
    last = len(names) - 0.5
    figure.update_xaxes(title="predicted", side="bottom", tickangle=angle, range=[-0.5, last], **class_ticks(names))
    figure.update_yaxes(title="true", range=[last, -0.5], **class_ticks(names))
    return apply_layout(figure, height=100 + 48 * min(len(names), 10), values="")


def confusion_description(table: pd.DataFrame, classes: Sequence[str], *, show: CellValue) -> str:
    """Describe ``confusion_figure``: the diagonal, and the most frequent confusion.

    Parameters
    ----------
    table, classes, show
        As for ``confusion_figure``.

    Returns
    -------
    str
        Text alternative.
    """
    cells = table.set_index(["true", "predicted"])
    parts = []
    for name in classes:
        value, share = cells.loc[(name, name), show], cells.loc[(name, name), "proportion_of_true"]
        text = "no case" if pd.isna(share) else f"{int(value):,}" if show == "count" else f"{value:.0%}"
        parts.append(f"{name} {text}")
    what = "correctly classified" if show == "count" else "recall"
    description = f"Confusion matrix, {what}: {', '.join(parts)}."
    wrong = table[(table["true"] != table["predicted"]) & table["count"].gt(0)]
    if wrong.empty:
        return f"{description} No case is misclassified."
    most = wrong.loc[wrong[show].idxmax()]
    size = f"{int(most['count']):,}" if show == "count" else f"{most['proportion_of_true']:.0%}"
    return f"{description} Most frequent confusion: {most['true']} predicted as {most['predicted']} ({size})."
