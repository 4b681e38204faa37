"""Decision curve: net benefit against the threshold probability, from ``evidence.decisions``."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import BAND, CYCLE, apply_layout, html_text

_LINES = {
    "model": ("model", {"color": CYCLE[0], "width": 2}),
    "treat all": ("all positive", {"color": CYCLE[4], "width": 2, "dash": "dash"}),
    "treat none": ("none positive", {"color": "#666666", "width": 2, "dash": "dot"}),
}
#: Thresholds that a text alternative lists.
_LISTED = (0.1, 0.2, 0.3, 0.5)


def decision_figure(table: pd.DataFrame) -> go.Figure:
    """Plot the net benefit of the model with a band for its interval, of all positive and of none positive.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of ``evidence.decisions.decision_curve``. The y axis is cut below, as the net benefit of all positive
        falls without bound.

    Returns
    -------
    plotly.graph_objects.Figure

    References
    ----------
    Vickers & Elkin 2006, "Decision curve analysis", doi 10.1177/0272989X06295361.

    Examples
    --------
    >>> table = pd.DataFrame({"class": "positive", "strategy": ["model", "treat all", "treat none"], "threshold": 0.2,
    ...                       "value": [0.3, 0.25, 0.0], "lower_95": [0.2, None, None], "upper_95": [0.4, None, None]})
    >>> [line.name for line in decision_figure(table).data[2:]]
    ['model', 'all positive', 'none positive']
    """
    figure = go.Figure()
    model = table[table["strategy"] == "model"]
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
    top = max(0.05, model["value"].max(), model["upper_95"].max())
    name = html_text(table["class"].iloc[0])
    figure.update_xaxes(title=f"threshold probability of {name}", range=[0, 1], tickformat=".0%")
    figure.update_yaxes(title="net benefit", range=[-top / 4, top * 1.1])
    return apply_layout(figure, height=360, legend=True)


def decision_description(table: pd.DataFrame) -> str:
    """Describe ``decision_figure`` by the net benefit at a few thresholds.

    Parameters
    ----------
    table : pandas.DataFrame
        As for ``decision_figure``.

    Returns
    -------
    str
        Text alternative.
    """
    rows = table.pivot(index="threshold", columns="strategy", values="value")
    listed = [t for t in _LISTED if t in rows.index] or list(rows.index[: len(_LISTED)])
    parts = [f"{rows.loc[t, 'model']:.3f} at {t:.0%} (all positive {rows.loc[t, 'treat all']:.3f})" for t in listed]
    name = table["class"].iloc[0]
    return f"Net benefit of the model for {name}: {', '.join(parts)}. None positive has a net benefit of 0."
