"""What does accuracy cost? One row a run with its accuracy, interval and cost in; labelled points out."""

from __future__ import annotations

from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, plain


def trade_figure(runs: pd.DataFrame, *, cost: str, title: str, score: str = "accuracy") -> go.Figure:
    """One point a run: column ``cost`` across (named ``title``), ``score`` with its interval up.

    ``runs`` has run, ``score``, ``<score>_low``, ``<score>_high`` and ``cost``; a run without an interval has no bar.
    """
    figure = go.Figure()
    for place, row in enumerate(runs.to_dict("records")):
        value, low, high = row[score], row[f"{score}_low"], row[f"{score}_high"]
        name = escape(str(row["run"]), quote=False)
        bounds = "" if pd.isna(low) else f" [{low:.1%}, {high:.1%}]"
        figure.add_scatter(
            x=[row[cost]],
            y=[value],
            mode="markers+text",
            text=[name],
            textposition="top center",
            cliponaxis=False,
            marker={"size": 12, "color": CYCLE[place % len(CYCLE)]},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - value],
                "arrayminus": [value - low],
                "thickness": 2,
            },
            hovertemplate=f"{name}: {value:.1%}{bounds} at {_readable(row[cost])}<extra></extra>",
        )
    figure.update_xaxes(title=title, rangemode="tozero", gridcolor="rgba(128,128,128,0.25)", tickformat="~s")
    figure.update_yaxes(title=score.replace("_", " "), tickformat=".0%", gridcolor="rgba(128,128,128,0.25)")
    return plain(figure, height=420)


def trade_words(runs: pd.DataFrame, *, cost: str, title: str, score: str = "accuracy") -> str:
    """What ``trade_figure`` shows."""
    said = []
    for row in runs.sort_values(cost).to_dict("records"):
        low, high = row[f"{score}_low"], row[f"{score}_high"]
        bounds = "" if pd.isna(low) else f" [{low:.1%}, {high:.1%}]"
        said.append(f"{row['run']} {row[score]:.1%}{bounds} at {_readable(row[cost])}")
    return f"{score.replace('_', ' ').capitalize()} against cost ({title}), cheapest first: {'; '.join(said)}."


def _readable(cost: float) -> str:
    for size, sign in ((1e12, " T"), (1e9, " G"), (1e6, " M")):
        if cost >= size:
            return f"{cost / size:.3g}{sign}"
    return f"{cost:.3g}"
