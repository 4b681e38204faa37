"""Forest plot of differences from a reference, from the rows of ``evidence.seeds`` or ``evidence.compare``."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, NEUTRAL, apply_layout, html_text, interval_bar, interval_text


def differences_figure(table: pd.DataFrame, *, reference: str) -> go.Figure:
    """Plot one row a group: its difference with its interval; the vertical line is no difference.

    Parameters
    ----------
    table : pandas.DataFrame
        ``group``, ``difference``, ``lower_95``, ``upper_95`` of one unit and metric, proportions.
    reference : str
        What the groups are compared with.

    Returns
    -------
    plotly.graph_objects.Figure
        An interval that excludes zero by itself is coloured; the statement of the study may be weaker (Holm).

    Examples
    --------
    >>> rows = pd.DataFrame({"group": ["small"], "difference": [-0.1], "lower_95": [-0.2], "upper_95": [-0.01]})
    >>> differences_figure(rows, reference="large").data[0].x
    (-0.1,)
    """
    figure = go.Figure()
    for row in table.to_dict("records"):
        name = html_text(row["group"])
        interval = row["difference"], row["lower_95"], row["upper_95"]
        apart = row["lower_95"] > 0 or row["upper_95"] < 0
        figure.add_scatter(
            x=[row["difference"]],
            y=[name],
            mode="markers",
            marker={"size": 12, "symbol": "square", "color": CYCLE[0] if apart else NEUTRAL},
            error_x=interval_bar(*interval),
            hovertemplate=f"{name} less {html_text(reference)}: {interval_text(*interval, '+.1%')}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot"})
    figure.update_xaxes(title=f"difference from {html_text(reference)}", tickformat="+.0%")
    figure.update_yaxes(type="category", autorange="reversed")
    return apply_layout(figure, height=110 + 30 * len(table), values="x")


def differences_description(table: pd.DataFrame, *, reference: str, metric: str) -> str:
    """Describe ``differences_figure``.

    Parameters
    ----------
    table, reference
        As for ``differences_figure``.
    metric : str
        Label of the metric.

    Returns
    -------
    str
        Text alternative.
    """
    parts = [
        f"{row['group']} {interval_text(row['difference'], row['lower_95'], row['upper_95'], '+.1%')}"
        for row in table.to_dict("records")
    ]
    return f"Difference from {reference} in {metric}: {'; '.join(parts)}."
