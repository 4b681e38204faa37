"""What if unsure patches are not answered? Tables of ``evidence.abstention`` in; the curve, and who is sent, out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, plain

_BAND = "rgba(0,114,178,0.2)"
_GRID = "rgba(128,128,128,0.25)"
#: Figure of the referral table, what it is called, and its colour.
_SHOWN = (("answered_rightly", "answered rightly", "#009E73"), ("sent", "sent for IHC/ISH", "#E69F00"))


def risk_coverage_figure(table: pd.DataFrame) -> go.Figure:
    """Share answered across, share of those answered wrongly up, with a band for the interval.

    ``table``: rows of ``risk_coverage``; its row of the AURC is left out.
    """
    rows = table[table["metric"] == "risk"]
    figure = go.Figure()
    bounded = rows[rows["lower_95"].notna()]
    figure.add_scatter(x=bounded["coverage"], y=bounded["lower_95"], mode="lines", line={"width": 0}, hoverinfo="skip")
    figure.add_scatter(
        x=bounded["coverage"],
        y=bounded["upper_95"],
        mode="lines",
        line={"width": 0},
        fill="tonexty",
        fillcolor=_BAND,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=rows["coverage"],
        y=rows["value"],
        mode="lines",
        line={"color": CYCLE[0], "width": 2},
        customdata=rows[["threshold"]],
        hovertemplate="%{x:.0%} answered, from %{customdata[0]:.3f} on: %{y:.1%} of these wrong<extra></extra>",
    )
    figure.update_xaxes(title="share answered", range=[0, 1.02], tickformat=".0%", gridcolor=_GRID)
    figure.update_yaxes(title="wrong among those answered", rangemode="tozero", tickformat=".0%", gridcolor=_GRID)
    return plain(figure, height=360)


def risk_coverage_words(table: pd.DataFrame) -> str:
    """What ``risk_coverage_figure`` shows: the risk of answering about half and all, and the area."""
    risk, area = table[table["metric"] == "risk"], table[table["metric"] == "aurc"].iloc[0]
    half, whole = risk[risk["coverage"] >= 0.5].iloc[0], risk.iloc[-1]
    bounds = "" if pd.isna(area["lower_95"]) else f" [{area['lower_95']:.3f}, {area['upper_95']:.3f}]"
    return (
        f"Risk against coverage: {whole['value']:.1%} wrong when all are answered, {half['value']:.1%} when the surest "
        f"{half['coverage']:.0%} are. Area under the curve (AURC) {area['value']:.3f}{bounds}; lower is better."
    )


def referral_figure(table: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """One bar a true class: answered rightly, sent for IHC/ISH; what is left to 100 % is answered wrongly.

    ``table``: rows of ``referral_table``.
    """
    figure = go.Figure()
    for metric, shown, colour in _SHOWN:
        rows = table[table["metric"] == metric].set_index("class").reindex(list(classes))
        figure.add_bar(
            x=rows["value"],
            y=list(classes),
            orientation="h",
            name=shown,
            marker={"color": colour},
            customdata=rows[["lower_95", "upper_95", "n"]],
            hovertemplate=f"%{{y}}: {shown} %{{x:.1%}} [%{{customdata[0]:.1%}}, %{{customdata[1]:.1%}}] of "
            "%{customdata[2]}<extra></extra>",
        )
    ticks = [escape(str(name), quote=False) for name in classes]
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%", gridcolor=_GRID)
    figure.update_yaxes(type="category", autorange="reversed", tickvals=list(classes), ticktext=ticks)
    plain(figure, height=120 + 40 * len(classes))
    return figure.update_layout(
        barmode="stack", showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0}
    )


def referral_words(table: pd.DataFrame, classes: Sequence[str]) -> str:
    """What ``referral_figure`` shows, class by class."""
    said = []
    for name in classes:
        rows = table[table["class"] == name].set_index("metric")["value"]
        said.append(
            f"{name} cannot be computed"
            if pd.isna(rows.get("sent"))
            else f"{name} {rows['answered_rightly']:.1%} answered rightly, {rows['sent']:.1%} sent"
        )
    return f"By true class, answered or sent for IHC/ISH: {'; '.join(said)}. The rest is answered wrongly."
