"""Reliability diagram: observed frequency against mean predicted probability, from ``evidence.reliability``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import NEUTRAL, apply_layout, class_colours, html_text, interval_text

_TOP_CLASS = "predicted class"


def reliability_figure(bins: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Plot the observed frequency of each bin with its interval; on the diagonal a model is calibrated.

    Parameters
    ----------
    bins : pandas.DataFrame
        Rows of ``evidence.reliability.reliability_table``; class "" is the predicted class of each row.
    classes : sequence of str
        Class names in their order; one line for each that has rows, after that of the predicted class.

    Returns
    -------
    plotly.graph_objects.Figure

    References
    ----------
    Niculescu-Mizil & Caruana 2005, "Predicting good probabilities with supervised learning",
    doi 10.1145/1102351.1102430.
    """
    figure = go.Figure()
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": NEUTRAL, "dash": "dot"}, layer="below")
    colours = {"": "#808080"} | class_colours(classes)
    for name in ("", *classes):
        rows = bins[bins["class"] == name]
        if rows.empty:
            continue
        label = html_text(name) or _TOP_CLASS
        figure.add_scatter(
            x=rows["mean_probability"],
            y=rows["value"],
            mode="lines+markers",
            name=label,
            line={"color": colours[name], "width": 2},
            marker={"size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": rows["upper_95"] - rows["value"],
                "arrayminus": rows["value"] - rows["lower_95"],
                "thickness": 1.5,
            },
            customdata=rows[["lowest", "highest", "n"]],
            hovertemplate=f"{label}, bin %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}: predicted %{{x:.1%}}, "
            "observed %{y:.1%} (%{customdata[2]} rows)<extra></extra>",
        )
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%"}
    figure.update_xaxes(title="mean predicted probability", **axis)
    figure.update_yaxes(title="observed frequency", **axis)
    return apply_layout(figure, height=420, legend=True, values="xy")


def reliability_description(calibration: pd.DataFrame, classes: Sequence[str]) -> str:
    """Describe ``reliability_figure`` by the expected calibration error and the calibration slope of each class.

    Parameters
    ----------
    calibration : pandas.DataFrame
        Rows of ``evidence.reliability.calibration_table``.
    classes : sequence of str
        Class names in their order.

    Returns
    -------
    str
        Text alternative.
    """
    rows = calibration.set_index(["metric", "class"])
    slopes = [f"{name} {_text(rows, ('calibration_slope', name), '.2f')}" for name in classes]
    ece = _text(rows, ("ece_equal_mass", ""), ".1%")
    return (
        f"Reliability diagram: expected calibration error of the predicted class {ece}. "
        f"Calibration slope (ideal 1, overconfident below 1): {', '.join(slopes)}."
    )


def _text(rows: pd.DataFrame, key: tuple[str, str], form: str) -> str:
    if key not in rows.index:
        return "not computable"
    row = rows.loc[key]
    return interval_text(row["value"], row["lower_95"], row["upper_95"], form)
