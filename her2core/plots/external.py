"""External validation: metrics on two cohorts side by side, and standardised differences of properties."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import CYCLE, apply_layout, html_text, interval_text

COHORTS = ("development", "external")


def external_figure(rows: pd.DataFrame) -> go.Figure:
    """Plot each metric on both cohorts with its 95 % interval.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``label``, and of both cohorts the value and its bounds, as ``evidence.external.external_table`` names them.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> row = {"label": "Accuracy", "development": 0.9, "external": 0.7}
    >>> row |= {f"{of}_{end}_95": row[of] for of in COHORTS for end in ("lower", "upper")}
    >>> [trace.name for trace in external_figure(pd.DataFrame([row])).data]
    ['development', 'external']
    """
    figure = go.Figure()
    labels = [html_text(label) for label in rows["label"]]
    for place, cohort in enumerate(COHORTS):
        lower, upper = rows[f"{cohort}_lower_95"], rows[f"{cohort}_upper_95"]
        figure.add_scatter(
            x=rows[cohort],
            y=[position + 0.16 * (2 * place - 1) for position in range(len(rows))],
            mode="markers",
            name=cohort,
            marker={"size": 10, "color": CYCLE[place], "symbol": ("circle", "diamond")[place]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (upper - rows[cohort]).fillna(0),
                "arrayminus": (rows[cohort] - lower).fillna(0),
            },
            customdata=[
                f"{label}, {cohort}: {interval_text(*ends)}"
                for label, *ends in zip(labels, rows[cohort], lower, upper, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(
        tickmode="array", tickvals=list(range(len(rows))), ticktext=labels, range=[len(rows) - 0.5, -0.5]
    )
    return apply_layout(figure, height=110 + 42 * len(rows), legend=True, values="x")


def external_description(rows: pd.DataFrame) -> str:
    """Describe ``external_figure``.

    Parameters
    ----------
    rows : pandas.DataFrame
        As for ``external_figure``.

    Returns
    -------
    str
        Text alternative.
    """
    parts = []
    for row in rows.to_dict("records"):
        ends = [
            interval_text(row[of], row[f"{of}_lower_95"], row[f"{of}_upper_95"], without="(no interval)")
            for of in COHORTS
        ]
        parts.append(f"{row['label']} {ends[0]} in development, {ends[1]} external")
    return f"Metrics with 95% intervals: {'; '.join(parts)}."


def drift_figure(rows: pd.DataFrame) -> go.Figure:
    """Plot the standardised difference of each property.

    Parameters
    ----------
    rows : pandas.DataFrame
        ``property`` and ``standardised_difference``, as ``evidence.drift.drift_table`` has them.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> drift_figure(pd.DataFrame({"property": ["mean R"], "standardised_difference": [1.2]})).data[0].y
    ('mean R',)
    """
    known = rows[rows["standardised_difference"].notna()]
    figure = go.Figure(
        go.Bar(
            x=known["standardised_difference"],
            y=[html_text(name) for name in known["property"]],
            orientation="h",
            marker_color=CYCLE[0],
            hovertemplate="%{y}: %{x:+.2f} standard deviations<extra></extra>",
        )
    )
    figure.update_xaxes(zeroline=True, title="external less development, standard deviations")
    figure.update_yaxes(type="category", autorange="reversed")
    return apply_layout(figure, height=110 + 22 * len(known), values="x")


def drift_description(rows: pd.DataFrame) -> str:
    """Describe ``drift_figure``.

    Parameters
    ----------
    rows : pandas.DataFrame
        As for ``drift_figure``.

    Returns
    -------
    str
        Text alternative: the largest differences.
    """
    known = rows[rows["standardised_difference"].notna()]
    largest = known.sort_values("standardised_difference", key=lambda d: d.abs(), ascending=False).head(5)
    named = [f"{r['property']} {r['standardised_difference']:+.2f}" for r in largest.to_dict("records")]
    said = f"largest {', '.join(named)}" if named else "none can be computed"
    return f"Standardised differences of {len(known)} properties, external less development: {said}."
