"""How good is it for each class? Metric rows with intervals in, points with error bars out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import class_colours, plain


def per_class_figure(metrics: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """One point a class with its 95 % interval; ``metrics`` holds the rows of one unit and one metric."""
    rows = metrics.set_index("class").reindex(list(classes))
    colours = class_colours(classes)
    figure = go.Figure()
    for name, row in rows.iterrows():
        figure.add_scatter(
            x=[row["value"]],
            y=[name],
            mode="markers",
            marker={"size": 12, "color": colours[name]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row["upper_95"] - row["value"]],
                "arrayminus": [row["value"] - row["lower_95"]],
                "thickness": 2,
            },
            hovertemplate=f"{name}: {row['value']:.3f} [{row['lower_95']:.3f}, {row['upper_95']:.3f}]<extra></extra>",
        )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", gridcolor="rgba(128,128,128,0.25)")
    figure.update_yaxes(type="category", autorange="reversed", categoryorder="array", categoryarray=list(classes))
    return plain(figure, height=80 + 34 * len(classes))


def per_class_words(metrics: pd.DataFrame, classes: Sequence[str]) -> str:
    """What ``per_class_figure`` shows: each class with its value and interval."""
    rows = metrics.set_index("class").reindex(list(classes))
    name = metrics["metric"].iloc[0] if "metric" in metrics and len(metrics) else "value"
    said = []
    for of, row in rows.iterrows():
        bounds = "no interval" if pd.isna(row["lower_95"]) else f"[{row['lower_95']:.1%}, {row['upper_95']:.1%}]"
        said.append(f"{of} cannot be computed" if pd.isna(row["value"]) else f"{of} {row['value']:.1%} {bounds}")
    return f"{_named(name)} by class: {', '.join(said)}."


def _named(metric: str) -> str:
    text = metric.replace("_", " ")
    return text.upper() if text == "auroc" else text[0].upper() + text[1:]
