"""How good is it in each group? Rows of ``evidence.subgroups`` in; points with intervals out."""

from __future__ import annotations

from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, plain


def group_figure(rows: pd.DataFrame) -> go.Figure:
    """One point a group with its interval; ``rows`` hold one metric of the groups of one column."""
    figure = go.Figure()
    for row in rows.to_dict("records"):
        name = escape(str(row["group"]), quote=False)
        figure.add_scatter(
            x=[row["value"]],
            y=[name],
            mode="markers",
            marker={"size": 12, "color": CYCLE[0]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row["upper_95"] - row["value"]],
                "arrayminus": [row["value"] - row["lower_95"]],
                "thickness": 2,
            },
            hovertemplate=f"{name}: {row['value']:.1%} [{row['lower_95']:.1%}, {row['upper_95']:.1%}]<extra></extra>",
        )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", gridcolor="rgba(128,128,128,0.25)")
    figure.update_yaxes(type="category", autorange="reversed")
    return plain(figure, height=80 + 34 * len(rows))


def group_words(rows: pd.DataFrame, *, title: str, by: str) -> str:
    """What ``group_figure`` shows."""
    said = []
    for row in rows.to_dict("records"):
        bounds = "no interval" if pd.isna(row["lower_95"]) else f"[{row['lower_95']:.1%}, {row['upper_95']:.1%}]"
        value = "cannot be computed" if pd.isna(row["value"]) else f"{row['value']:.1%} {bounds}"
        said.append(f"{row['group']} {value}")
    return f"{title} by {by}: {'; '.join(said)}."
