"""One metric by subgroup, with intervals, from the rows of ``evidence.subgroups``."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, apply_layout, html_text, interval_bar, interval_text


def subgroup_figure(rows: pd.DataFrame) -> go.Figure:
    """Plot one point a subgroup with its 95 % interval.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``group``, ``value``, ``lower_95``, ``upper_95``: one metric of the subgroups of one column.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> rows = pd.DataFrame({"group": ["site A"], "value": [0.8], "lower_95": [0.7], "upper_95": [0.9]})
    >>> subgroup_figure(rows).data[0].y
    ('site A',)
    """
    figure = go.Figure()
    for row in rows.to_dict("records"):
        name = html_text(row["group"])
        interval = row["value"], row["lower_95"], row["upper_95"]
        figure.add_scatter(
            x=[row["value"]],
            y=[name],
            mode="markers",
            marker={"size": 12, "color": CYCLE[0]},
            error_x=interval_bar(*interval),
            hovertemplate=f"{name}: {interval_text(*interval)}<extra></extra>",
        )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(type="category", autorange="reversed")
    return apply_layout(figure, height=80 + 34 * len(rows), values="x")


def subgroup_description(rows: pd.DataFrame, *, title: str, by: str) -> str:
    """Describe ``subgroup_figure``.

    Parameters
    ----------
    rows : pandas.DataFrame
        As for ``subgroup_figure``.
    title : str
        Label of the metric.
    by : str
        The column that defines the subgroups.

    Returns
    -------
    str
        Text alternative.
    """
    parts = [
        f"{r['group']} {interval_text(r['value'], r['lower_95'], r['upper_95'], without='(no interval)')}"
        for r in rows.to_dict("records")
    ]
    return f"{title} by {by}: {'; '.join(parts)}."
