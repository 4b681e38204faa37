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
            z=share.to_numpy(), x=list(classes), y=list(classes), text=text.to_numpy(), texttemplate="%{text}",
            colorscale="Purples", zmin=0, zmax=1, showscale=False, xgap=2, ygap=2,
            hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title="predicted", type="category", side="bottom", tickangle=-40 if len(classes) > 4 else 0)
    figure.update_yaxes(title="true", type="category", autorange="reversed")
    return plain(figure, height=120 + 48 * min(len(classes), 10))
