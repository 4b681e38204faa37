"""Three-way decision curve: net benefit against the threshold probability, from ``evidence.three_way``."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import BAND, CYCLE, apply_layout

_LINES = {
    "model, three-way": ("model: negative, refer or positive", {"color": CYCLE[0], "width": 2}),
    "model, two-way": ("model: negative or positive", {"color": CYCLE[1], "width": 2, "dash": "dashdot"}),
    "test every case": ("test every case", {"color": CYCLE[2], "width": 2, "dash": "dash"}),
    "all positive": ("all positive", {"color": CYCLE[4], "width": 2, "dash": "dash"}),
    "all negative": ("all negative", {"color": "#666666", "width": 2, "dash": "dot"}),
}
#: Thresholds that a text alternative lists.
_LISTED = (0.1, 0.2, 0.3, 0.5)


def three_way_figure(table: pd.DataFrame) -> go.Figure:
    """Plot the net benefit of every strategy, with a band for the interval of the three-way model.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of ``evidence.three_way.three_way_curve`` of one harm. The y axis is cut below, as the net benefit of all
        positive falls without bound.

    Returns
    -------
    plotly.graph_objects.Figure

    References
    ----------
    Vickers & Elkin 2006, doi 10.1177/0272989X06295361.

    Examples
    --------
    >>> table = pd.DataFrame({"strategy": list(_LINES), "threshold": 0.2, "value": [0.3, 0.25, 0.2, 0.1, 0.0],
    ...                       "lower_95": 0.2, "upper_95": 0.4})
    >>> [line.name for line in three_way_figure(table).data[2:4]]
    ['model: negative, refer or positive', 'model: negative or positive']
    """
    figure = go.Figure()
    model = table[table["strategy"] == "model, three-way"]
    bounded = model[model["lower_95"].notna()]
    band = {"x": bounded["threshold"], "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(y=bounded["lower_95"], **band)
    figure.add_scatter(y=bounded["upper_95"], fill="tonexty", fillcolor=BAND, **band)
    for strategy, (label, line) in _LINES.items():
        rows = table[table["strategy"] == strategy]
        figure.add_scatter(
            x=rows["threshold"],
            y=rows["value"],
            mode="lines",
            name=label,
            line=line,
            hovertemplate=f"{label} at %{{x:.0%}}: net benefit %{{y:.3f}}<extra></extra>",
        )
    top = max(0.05, model["value"].max(), bounded["upper_95"].max() if len(bounded) else 0.0)
    figure.update_xaxes(title="threshold probability of positive", range=[0, 1], tickformat=".0%")
    figure.update_yaxes(title="net benefit", range=[-top / 4, top * 1.1])
    return apply_layout(figure, height=360, legend=True)


def three_way_description(table: pd.DataFrame) -> str:
    """Describe ``three_way_figure`` by the net benefit at a few thresholds.

    Parameters
    ----------
    table : pandas.DataFrame
        As for ``three_way_figure``.

    Returns
    -------
    str
        Text alternative.
    """
    rows = table.assign(at=table["threshold"].round(6)).pivot(index="at", columns="strategy", values="value")
    listed = [t for t in _LISTED if t in rows.index] or list(rows.index[: len(_LISTED)])
    parts = [
        f"{rows.loc[t, 'model, three-way']:.3f} at {t:.0%} (two-way {rows.loc[t, 'model, two-way']:.3f}, test every "
        f"case {rows.loc[t, 'test every case']:.3f})"
        for t in listed
    ]
    return f"Net benefit of three-way decisions: {', '.join(parts)}. All negative has a net benefit of 0."
