"""Does 80 % mean 80 %? Bins of ``evidence.reliability`` in; the reliability diagram out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import class_colours, plain

_GREY = "rgba(128,128,128,0.6)"
_TOP = "top class"


def reliability_figure(bins: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Mean probability of each bin across, how often it came true up, with its interval; the diagonal is calibrated.

    ``bins``: rows of ``reliability_table``; one line for each class that has rows, in the order of ``classes``, after
    that of the top class (class "").
    """
    figure = go.Figure()
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": _GREY, "dash": "dot"}, layer="below")
    colours = {"": "#666666"} | class_colours(classes)
    for name in ("", *classes):
        rows = bins[bins["class"] == name]
        if rows.empty:
            continue
        shown = escape(str(name), quote=False) or _TOP
        figure.add_scatter(
            x=rows["mean_probability"],
            y=rows["value"],
            mode="lines+markers",
            name=shown,
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
            hovertemplate=f"{shown}, probability %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}: said %{{x:.1%}}, "
            "came true %{y:.1%} (%{customdata[2]} rows)<extra></extra>",
        )
    axis = {"range": [-0.02, 1.02], "gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "tickformat": ".0%"}
    figure.update_xaxes(title="mean probability", **axis)
    figure.update_yaxes(title="came true", **axis)
    plain(figure, height=420)
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0})


def reliability_words(calibration: pd.DataFrame, classes: Sequence[str]) -> str:
    """What ``reliability_figure`` shows, from the rows of ``calibration_table``: the error and each class's slope."""
    rows = calibration.set_index(["metric", "class"])
    slopes = [f"{name} {_said(rows, ('calibration_slope', name), '.2f')}" for name in classes]
    return (
        f"Reliability: expected calibration error of the top class {_said(rows, ('ece_equal_mass', ''), '.1%')}. "
        f"Calibration slope (1 is right, less is overconfident): {', '.join(slopes)}."
    )


def _said(rows: pd.DataFrame, key: tuple[str, str], form: str) -> str:
    if key not in rows.index or pd.isna(rows.loc[key, "value"]):
        return "cannot be computed"
    row = rows.loc[key]
    bounds = "" if pd.isna(row["lower_95"]) else f" [{row['lower_95']:{form}}, {row['upper_95']:{form}}]"
    return f"{row['value']:{form}}{bounds}"
