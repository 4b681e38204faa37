"""What does one network reach under each way to split? Rows of ``evidence.seeds`` in; points with intervals out."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, plain

_GRID = "rgba(128,128,128,0.25)"
NAMES = {"patch_random": "random patches", "slide": "by slide", "patient": "by patient", "site": "by site"}


def leakage_figure(table: pd.DataFrame) -> go.Figure:
    """One row a split: the mean over its seeds with the interval over patients, and each seed's extremes as ticks.

    ``table``: rows of one unit and one metric, in the order to show.
    """
    figure = go.Figure()
    for place, row in enumerate(table.to_dict("records")):
        name, colour = NAMES.get(row["group"], row["group"]), CYCLE[place % len(CYCLE)]
        figure.add_scatter(
            x=[row["lowest"], row["highest"]], y=[name] * 2, mode="markers", hoverinfo="skip",
            marker={"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": colour}},
        )  # fmt: skip
        figure.add_scatter(
            x=[row["value"]], y=[name], mode="markers", marker={"size": 13, "color": colour},
            error_x={"type": "data", "symmetric": False, "array": [row["high"] - row["value"]],
                     "arrayminus": [row["value"] - row["low"]], "thickness": 2},
            hovertemplate=f"split {name}: {row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}], "
            f"seeds from {row['lowest']:.1%} to {row['highest']:.1%}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%", gridcolor=_GRID)
    figure.update_yaxes(type="category", autorange="reversed")
    return plain(figure, height=90 + 44 * len(table))


def leakage_words(table: pd.DataFrame) -> str:
    """What ``leakage_figure`` shows."""
    said = [
        f"{NAMES.get(r['group'], r['group'])} {r['value']:.1%} [{r['low']:.1%}, {r['high']:.1%}]"
        for r in table.to_dict("records")
    ]
    first = table.iloc[0]
    metric = "AUROC, mean" if first["metric"] == "macro_auroc" else first["metric"].replace("_", " ").capitalize()
    return f"{metric} by {first['unit']}, mean of {first['seeds']} seeds, test part of each split: {'; '.join(said)}."
