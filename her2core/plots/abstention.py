"""Risk-coverage curve and referral shares, from the tables of ``evidence.abstention``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import BAND, CYCLE, apply_layout, class_ticks, interval_text

#: Metric of the referral table, its label and its colour.
_OUTCOMES = (("correct_rate", "classified correctly", CYCLE[3]), ("referral_rate", "referred to IHC/ISH", CYCLE[10]))


def risk_coverage_figure(table: pd.DataFrame) -> go.Figure:
    """Plot selective risk against coverage, with a band for the interval.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of ``evidence.abstention.risk_coverage``; its row of the AURC is left out.

    Returns
    -------
    plotly.graph_objects.Figure
        Coverage (proportion classified) on x, risk (proportion of these that is misclassified) on y.

    References
    ----------
    Geifman & El-Yaniv 2017, "Selective classification for deep neural networks", arXiv 1705.08500.

    Examples
    --------
    >>> table = pd.DataFrame({"metric": "risk", "coverage": [0.5, 1.0], "threshold": [0.8, 0.4], "value": [0.1, 0.2],
    ...                       "lower_95": [0.05, 0.1], "upper_95": [0.2, 0.3]})
    >>> [float(y) for y in risk_coverage_figure(table).data[2].y]
    [0.1, 0.2]
    """
    rows = table[table["metric"] == "risk"]
    bounded = rows[rows["lower_95"].notna()]
    figure = go.Figure()
    band = {"x": bounded["coverage"], "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(y=bounded["lower_95"], **band)
    figure.add_scatter(y=bounded["upper_95"], fill="tonexty", fillcolor=BAND, **band)
    figure.add_scatter(
        x=rows["coverage"],
        y=rows["value"],
        mode="lines",
        line={"color": CYCLE[0], "width": 2},
        customdata=rows[["threshold"]],
        hovertemplate="coverage %{x:.0%}, threshold %{customdata[0]:.3f}: risk %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title="coverage (classified)", range=[0, 1.02], tickformat=".0%")
    figure.update_yaxes(title="risk (misclassified)", rangemode="tozero", tickformat=".0%")
    return apply_layout(figure, height=360)


def risk_coverage_description(table: pd.DataFrame) -> str:
    """Describe ``risk_coverage_figure``: the risk at about half and at full coverage, and the area under the curve.

    Parameters
    ----------
    table : pandas.DataFrame
        As for ``risk_coverage_figure``, with its row of the AURC.

    Returns
    -------
    str
        Text alternative.
    """
    risk, area = table[table["metric"] == "risk"], table[table["metric"] == "aurc"].iloc[0]
    half, full = risk[risk["coverage"] >= 0.5].iloc[0], risk.iloc[-1]
    aurc = interval_text(area["value"], area["lower_95"], area["upper_95"], ".3f")
    return (
        f"Risk-coverage curve: risk {full['value']:.1%} at full coverage, {half['value']:.1%} for the most confident "
        f"{half['coverage']:.0%}. Area under the risk-coverage curve (AURC) {aurc}; lower is better."
    )


def referral_figure(table: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Plot for each true class the proportions classified correctly and referred; the rest is misclassified.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of ``evidence.abstention.referral_table``.
    classes : sequence of str
        Class names in their order.

    Returns
    -------
    plotly.graph_objects.Figure
        One stacked bar a class.
    """
    figure = go.Figure()
    for metric, label, colour in _OUTCOMES:
        rows = table[table["metric"] == metric].set_index("class").reindex(list(classes))
        figure.add_bar(
            x=rows["value"],
            y=list(classes),
            orientation="h",
            name=label,
            marker={"color": colour},
            customdata=rows[["lower_95", "upper_95", "n"]],
            hovertemplate=f"%{{y}}: {label} %{{x:.1%}} [%{{customdata[0]:.1%}}, %{{customdata[1]:.1%}}] of "
            "%{customdata[2]}<extra></extra>",
        )
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_yaxes(autorange="reversed", **class_ticks(classes))
    return apply_layout(figure, height=120 + 40 * len(classes), legend=True, values="x").update_layout(barmode="stack")


def referral_description(table: pd.DataFrame, classes: Sequence[str]) -> str:
    """Describe ``referral_figure`` class by class.

    Parameters
    ----------
    table, classes
        As for ``referral_figure``.

    Returns
    -------
    str
        Text alternative.
    """
    parts = []
    for name in classes:
        rows = table[table["class"] == name].set_index("metric")["value"]
        if pd.isna(rows.get("referral_rate")):
            parts.append(f"{name} not computable")
        else:
            parts.append(
                f"{name} {rows['correct_rate']:.1%} classified correctly, {rows['referral_rate']:.1%} referred"
            )
    return f"Outcome by true class: {'; '.join(parts)}. The rest is misclassified."
