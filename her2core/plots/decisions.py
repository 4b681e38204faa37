"""Is calling by this network better than calling all or none? Rows of ``evidence.decisions`` in; the curve out."""

from __future__ import annotations

from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, plain

_BAND = "rgba(0,114,178,0.2)"
_GRID = "rgba(128,128,128,0.25)"
_LINES = {
    "network": {"color": CYCLE[0], "width": 2},
    "all": {"color": CYCLE[4], "width": 2, "dash": "dash"},
    "none": {"color": "#666666", "width": 2, "dash": "dot"},
}


def decision_figure(table: pd.DataFrame) -> go.Figure:
    """Threshold across, net benefit up: the network with a band for its interval, calling all, calling none.

    ``table``: rows of ``decision_curve``. The axis is cut below: calling all gets as bad as one likes.
    """
    figure = go.Figure()
    network = table[table["strategy"] == "network"]
    bounded = network[network["lower_95"].notna()]
    silent = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(x=bounded["threshold"], y=bounded["lower_95"], **silent)
    figure.add_scatter(x=bounded["threshold"], y=bounded["upper_95"], fill="tonexty", fillcolor=_BAND, **silent)
    for strategy, line in _LINES.items():
        rows = table[table["strategy"] == strategy]
        shown = strategy if strategy == "network" else f"call {strategy}"
        figure.add_scatter(
            x=rows["threshold"],
            y=rows["value"],
            mode="lines",
            name=shown,
            line=line,
            hovertemplate=f"{shown} at %{{x:.0%}}: net benefit %{{y:.3f}}<extra></extra>",
        )
    top = max(0.05, network["value"].max(), network["upper_95"].max())
    name = escape(str(table["class"].iloc[0]), quote=False)
    figure.update_xaxes(
        title=f"probability from which {name} is called", range=[0, 1], tickformat=".0%", gridcolor=_GRID
    )
    figure.update_yaxes(title="net benefit", range=[-top / 4, top * 1.1], gridcolor=_GRID)
    plain(figure, height=420)
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0})


def decision_words(table: pd.DataFrame) -> str:
    """What ``decision_figure`` shows: the net benefit at a few thresholds, beside calling all (none is 0)."""
    rows = table.pivot(index="threshold", columns="strategy", values="value")
    wanted = [t for t in (0.1, 0.2, 0.3, 0.5) if t in rows.index] or list(rows.index[:4])
    said = [f"{rows.loc[t, 'network']:.3f} at {t:.0%} (calling all {rows.loc[t, 'all']:.3f})" for t in wanted]
    return f"Net benefit of calling {table['class'].iloc[0]} by the network: {', '.join(said)}. Calling none is 0."
