"""One metric by class, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import apply_layout, class_colours, class_ticks, html_text, interval_bar, interval_text


def per_class_figure(metrics: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Plot one point a class with its 95 % interval.

    Parameters
    ----------
    metrics : pandas.DataFrame
        ``class``, ``value``, ``lower_95``, ``upper_95``: the rows of one unit and one metric, a proportion.
    classes : sequence of str
        Class names in their order.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> metrics = pd.DataFrame({"class": ["a", "b"], "value": [0.5, 0.9], "lower_95": [0.4, 0.8],
    ...                         "upper_95": [0.6, 1.0]})
    >>> per_class_figure(metrics, ("b", "a")).data[0].x
    (0.9,)
    """
    rows = metrics.set_index("class").reindex(list(classes))
    colours = class_colours(classes)
    figure = go.Figure()
    for name, row in rows.iterrows():
        interval = row["value"], row["lower_95"], row["upper_95"]
        figure.add_scatter(
            x=[row["value"]],
            y=[name],
            mode="markers",
            marker={"size": 12, "color": colours[name]},
            error_x=interval_bar(*interval),
            hovertemplate=f"{html_text(name)}: {interval_text(*interval, '.3f')}<extra></extra>",
        )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(
        autorange="reversed", categoryorder="array", categoryarray=list(classes), **class_ticks(classes)
    )
    return apply_layout(figure, height=80 + 34 * len(classes), values="x")


def per_class_description(metrics: pd.DataFrame, classes: Sequence[str], *, metric: str) -> str:
    """Describe ``per_class_figure``: each class with its value and interval.

    Parameters
    ----------
    metrics, classes
        As for ``per_class_figure``.
    metric : str
        Label of the metric.

    Returns
    -------
    str
        Text alternative.
    """
    rows = metrics.set_index("class").reindex(list(classes))
    parts = [
        f"{name} {interval_text(row['value'], row['lower_95'], row['upper_95'], without='(no interval)')}"
        for name, row in rows.iterrows()
    ]
    return f"{metric} by class: {', '.join(parts)}."
