"""Which class is taken for which? The confusion table of one unit in, a heat map out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import plain


def confusion_figure(
    table: pd.DataFrame, classes: Sequence[str], *, show: Literal["count", "share_of_true"]
) -> go.Figure:
    """Rows the true class, columns the predicted one; cells as counts or as percent of the row."""
    grid = table.pivot(index="true", columns="predicted", values=show).loc[list(classes), list(classes)]
    share = table.pivot(index="true", columns="predicted", values="share_of_true").loc[list(classes), list(classes)]
    text = grid.map(lambda v: "" if pd.isna(v) else f"{v:.0f}" if show == "count" else f"{v:.0%}")
    figure = go.Figure(
        go.Heatmap(
            z=share.to_numpy(),
            x=list(classes),
            y=list(classes),
            text=text.to_numpy(),
            texttemplate="%{text}",
            colorscale="Purples",
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
            hoverinfo="skip",
        )
    )
    # A heat map gives no selection events: unseen markers, one a cell, can be clicked and carry the words.
    places = [(guess, true) for true in classes for guess in classes]
    figure.add_scatter(
        x=[guess for guess, _ in places],
        y=[true for _, true in places],
        mode="markers",
        text=[text.loc[true, guess] for guess, true in places],
        hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
        marker={"size": 44, "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
    )
    figure.update_xaxes(title="predicted", type="category", side="bottom", tickangle=-40 if len(classes) > 4 else 0)
    figure.update_yaxes(title="true", type="category", autorange="reversed")
    return plain(figure, height=120 + 48 * min(len(classes), 10))


def confusion_words(table: pd.DataFrame, classes: Sequence[str], *, show: Literal["count", "share_of_true"]) -> str:
    """What ``confusion_figure`` shows: how much of each class was recognised, and the most frequent mistake."""
    cells = table.set_index(["true", "predicted"])
    own = [(name, cells.loc[(name, name), show], cells.loc[(name, name), "share_of_true"]) for name in classes]
    said = [
        f"{name} no case" if pd.isna(share) else f"{name} {int(value):,}" if show == "count" else f"{name} {value:.0%}"
        for name, value, share in own
    ]
    what = "cases" if show == "count" else "share of the true class"
    words = f"Confusion matrix, {what} recognised: {', '.join(said)}."
    wrong = table[(table["true"] != table["predicted"]) & table["count"].gt(0)]
    if wrong.empty:
        return f"{words} No mistake."
    most = wrong.loc[wrong[show].idxmax()]
    size = f"{int(most['count']):,}" if show == "count" else f"{most['share_of_true']:.0%}"
    return f"{words} Most frequent mistake: {most['true']} taken for {most['predicted']} ({size})."
