"""Width of an interval against the number of patients, from ``evidence.planning.width_table``."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, apply_layout


def width_figure(table: pd.DataFrame, *, wanted: float, needed: int) -> go.Figure:
    """Plot the width of the 95 % interval against the number of patients, with the width that is wanted.

    Parameters
    ----------
    table : pandas.DataFrame
        As ``evidence.planning.width_table`` makes it.
    wanted : float
        Width that is wanted.
    needed : int
        Patients that it needs.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> table = pd.DataFrame({"patients": [10, 100], "width": [0.5, 0.2], "lower_95": 0.4, "upper_95": 0.6})
    >>> [line.name for line in width_figure(table, wanted=0.3, needed=45).data]
    ['width of the interval', 'wanted: 45 patients']
    """
    figure = go.Figure()
    figure.add_scatter(
        x=table["patients"],
        y=table["width"],
        mode="lines",
        name="width of the interval",
        line={"color": CYCLE[0], "width": 2},
        hovertemplate="%{x:,} patients: width %{y:.1%}<extra></extra>",
    )
    figure.add_scatter(
        x=[needed],
        y=[wanted],
        mode="markers",
        name=f"wanted: {needed:,} patients",
        marker={"size": 12, "color": CYCLE[1]},
        hovertemplate=f"{needed:,} patients: width {wanted:.1%}<extra></extra>",
    )
    ticks = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
    figure.update_xaxes(title="patients", type="log", tickvals=ticks, tickformat=",")
    figure.update_yaxes(title="width of the 95% interval", rangemode="tozero", tickformat=".0%")
    return apply_layout(figure, height=380, legend=True, values="xy")


def width_description(table: pd.DataFrame, *, wanted: float, needed: int) -> str:
    """Describe ``width_figure``.

    Parameters
    ----------
    table : pandas.DataFrame
    wanted : float
    needed : int

    Returns
    -------
    str
        Text alternative.
    """
    listed = table.iloc[:: max(1, len(table) // 4)]
    widths = "; ".join(f"{row.width:.0%} with {row.patients:,} patients" for row in listed.itertuples())
    return f"Width of the 95% interval: {widths}. A width of {wanted:.0%} needs {needed:,} patients."
