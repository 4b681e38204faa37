"""Accuracy of runs against their computational cost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, apply_layout, html_text, interval_bar, interval_text

#: With more runs than this their names overlap, and are shown on hover alone.
MOST_NAMED = 5


def accuracy_cost_figure(
    runs: pd.DataFrame, *, cost: str, title: str, score: str = "accuracy", marked: Collection[str] = ()
) -> go.Figure:
    """Plot one labelled point a run: its cost on x, its score with the interval on y.

    Parameters
    ----------
    runs : pandas.DataFrame
        ``run``, ``score``, ``<score>_lower_95``, ``<score>_upper_95`` and ``cost``, as in
        ``study.comparison.comparison_table``; a run without an interval has no bar, one without a
        cost no point.
    cost : str
        Column on x.
    title : str
        What the cost is called.
    score : str
        Column on y, a proportion.
    marked : collection of str
        Runs drawn as a star: those of the paper's network.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> runs = pd.DataFrame({"run": ["small"], "accuracy": [0.8], "accuracy_lower_95": [0.7],
    ...                      "accuracy_upper_95": [0.9], "flops": [3.2e8]})
    >>> accuracy_cost_figure(runs, cost="flops", title="FLOPs").data[0].text
    ('small',)
    """
    figure = go.Figure()
    # Left and right in turn by cost: names of runs of about the same cost do not overlap.
    sides = {run: ("middle left", "middle right")[i % 2] for i, run in enumerate(runs.sort_values(cost)["run"])}
    named = runs[cost].notna().sum() <= MOST_NAMED
    for position, row in enumerate(runs.to_dict("records")):
        if pd.isna(row[cost]):
            continue
        name, (value, lower, upper) = html_text(row["run"]), _interval(row, score)
        figure.add_scatter(
            x=[row[cost]],
            y=[value],
            mode="markers+text" if named else "markers",
            text=[name],
            textposition=sides[row["run"]],
            cliponaxis=False,
            marker={
                "size": 17 if row["run"] in marked else 11,
                "symbol": "star" if row["run"] in marked else "circle",
                "color": CYCLE[position % len(CYCLE)],
            },
            error_y=interval_bar(value, lower, upper),
            hovertemplate=f"{name}: {interval_text(value, lower, upper)} at {_si(row[cost])}<extra></extra>",
        )
    figure.update_xaxes(
        title=title, range=[0, 1.25 * runs[cost].max()], tickformat="~s" if runs[cost].max() >= 1000 else ""
    )
    figure.update_yaxes(title=score.replace("_", " "), tickformat=".0%")
    return apply_layout(figure, height=360, values="xy")


def accuracy_cost_description(runs: pd.DataFrame, *, cost: str, title: str, score: str = "accuracy") -> str:
    """Describe ``accuracy_cost_figure``, cheapest run first.

    Parameters
    ----------
    runs, cost, title, score
        As for ``accuracy_cost_figure``.

    Returns
    -------
    str
        Text alternative.
    """
    parts = [
        f"{row['run']} {interval_text(*_interval(row, score))} at {_si(row[cost])}"
        for row in runs.sort_values(cost).to_dict("records")
    ]
    return f"{score.replace('_', ' ').capitalize()} against cost ({title}), cheapest first: {'; '.join(parts)}."


def _interval(row: dict[str, Any], score: str) -> tuple[float, float, float]:
    return row[score], row[f"{score}_lower_95"], row[f"{score}_upper_95"]


def _si(cost: float) -> str:
    for size, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M")):
        if cost >= size:
            return f"{cost / size:.3g}{prefix}"
    return f"{cost:.3g}"
