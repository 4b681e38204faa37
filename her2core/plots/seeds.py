"""Metric of each group of a study over its seeds, from the rows of ``evidence.seeds``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, apply_layout, html_text, interval_bar, interval_text

_SAME: Mapping[str, str] = {}


def seeds_figure(
    table: pd.DataFrame, names: Mapping[str, str] = _SAME, *, seeds: pd.DataFrame | None = None
) -> go.Figure:
    """Plot one row a group: the mean over its seeds with its interval, and its seeds.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of one unit and one metric, in the order to show: ``group``, ``value``, ``lower_95``, ``upper_95``,
        ``lowest``, ``highest``.
    names : mapping
        Group -> label; a group without one keeps its name.
    seeds : pandas.DataFrame, optional
        ``group``, ``seed``, ``value``: one open point a training; without them the lowest and the highest are ticks.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> table = pd.DataFrame({"group": ["patient"], "value": 0.6, "lower_95": 0.5, "upper_95": 0.7, "lowest": 0.58,
    ...                       "highest": 0.62})
    >>> seeds_figure(table, {"patient": "by patient"}).data[1].y
    ('by patient',)
    """
    figure = go.Figure()
    for position, row in enumerate(table.to_dict("records")):
        name = html_text(names.get(row["group"], row["group"]))
        colour = CYCLE[position % len(CYCLE)]
        interval = row["value"], row["lower_95"], row["upper_95"]
        own = None if seeds is None else seeds[seeds["group"] == row["group"]]
        single = [row["lowest"], row["highest"]] if own is None else own["value"].tolist()
        ticks = {"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": colour}}
        points = {"symbol": "circle-open", "size": 7, "color": colour, "line": {"width": 1.5}}
        figure.add_scatter(
            x=single,
            y=[name] * len(single),
            mode="markers",
            marker=ticks if own is None else points,
            **(
                {"hoverinfo": "skip"}
                if own is None
                else {"text": own["seed"], "hovertemplate": f"{name}, seed %{{text}}: %{{x:.1%}}<extra></extra>"}
            ),
        )
        figure.add_scatter(
            x=[row["value"]],
            y=[name],
            mode="markers",
            marker={"size": 13, "color": colour},
            error_x=interval_bar(*interval),
            hovertemplate=f"{name}: {interval_text(*interval)}, seeds from {row['lowest']:.1%} to "
            f"{row['highest']:.1%}<extra></extra>",
        )
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_yaxes(type="category", autorange="reversed")
    return apply_layout(figure, height=90 + 30 * len(table), values="x")


def seeds_description(table: pd.DataFrame, names: Mapping[str, str] = _SAME, *, metric: str) -> str:
    """Describe ``seeds_figure``.

    Parameters
    ----------
    table, names
        As for ``seeds_figure``; ``unit`` names the unit of analysis.
    metric : str
        Label of the metric.

    Returns
    -------
    str
        Text alternative.
    """
    parts = [
        f"{names.get(r['group'], r['group'])} {interval_text(r['value'], r['lower_95'], r['upper_95'])}"
        for r in table.to_dict("records")
    ]
    return f"{metric} by {table['unit'].iloc[0]} on the test set, mean over the seeds: {'; '.join(parts)}."
