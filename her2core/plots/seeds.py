"""What does each group reach over its seeds? Rows of ``evidence.seeds`` in; points with intervals out."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, plain

_GRID = "rgba(128,128,128,0.25)"
#: What the ways to split are called.
SPLITS = {"patch_random": "random patches", "slide": "by slide", "patient": "by patient", "site": "by site"}


def seeds_figure(table: pd.DataFrame, names: Mapping[str, str] = SPLITS) -> go.Figure:
    """One row a group: the mean over its seeds with the interval over patients, and the extremes of the seeds as ticks.

    ``table``: rows of one unit and one metric, in the order to show; ``names``: what a group is called.
    """
    figure = go.Figure()
    for place, row in enumerate(table.to_dict("records")):
        name = escape(str(names.get(row["group"], row["group"])), quote=False)
        colour = CYCLE[place % len(CYCLE)]
        figure.add_scatter(
            x=[row["lowest"], row["highest"]],
            y=[name] * 2,
            mode="markers",
            hoverinfo="skip",
            marker={"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": colour}},
        )
        figure.add_scatter(
            x=[row["value"]],
            y=[name],
            mode="markers",
            marker={"size": 13, "color": colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row["upper_95"] - row["value"]],
                "arrayminus": [row["value"] - row["lower_95"]],
                "thickness": 2,
            },
            hovertemplate=f"{name}: {row['value']:.1%} [{row['lower_95']:.1%}, {row['upper_95']:.1%}], "
            f"seeds from {row['lowest']:.1%} to {row['highest']:.1%}<extra></extra>",
        )
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%", gridcolor=_GRID)
    figure.update_yaxes(type="category", autorange="reversed")
    return plain(figure, height=90 + 44 * len(table))


def seeds_words(table: pd.DataFrame, names: Mapping[str, str] = SPLITS) -> str:
    """What ``seeds_figure`` shows."""
    said = [
        f"{names.get(r['group'], r['group'])} {r['value']:.1%} [{r['lower_95']:.1%}, {r['upper_95']:.1%}]"
        for r in table.to_dict("records")
    ]
    metric = table["metric"].iloc[0]
    title = "AUROC, mean" if metric == "macro_auroc" else metric.replace("_", " ").capitalize()
    return f"{title} by {table['unit'].iloc[0]}, mean over the seeds, on the test part: {'; '.join(said)}."
