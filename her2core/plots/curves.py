"""How do the errors of each class trade against each other? Points of the curves in; ROC and precision-recall out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import class_colours, plain

#: A second sign beside the colour, by place in the scheme.
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_GREY = "rgba(128,128,128,0.6)"


def roc_figure(points: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """One line a class, from ``evidence.curves.roc_points``; the dotted diagonal is what guessing would reach."""
    figure = go.Figure()
    _lines(figure, points, classes, x="fpr", y="tpr", area="auroc", short="AUROC", shape="linear")
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": _GREY, "dash": "dot"}, layer="below")
    return _square(figure, x="false positive rate (1 - specificity)", y="true positive rate (sensitivity)")


def pr_figure(points: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """One stepped line a class, from ``evidence.curves.pr_points``: between two points precision is not interpolated
    (Davis & Goadrich 2006, doi 10.1145/1143844.1143874)."""
    figure = go.Figure()
    _lines(figure, points, classes, x="recall", y="precision", area="average_precision", short="AP", shape="vh")
    return _square(figure, x="recall (sensitivity)", y="precision (PPV)")


def roc_words(metrics: pd.DataFrame, classes: Sequence[str]) -> str:
    """What ``roc_figure`` shows, from the auroc rows (class, value, low, high) of the metrics of one unit."""
    rows = metrics[metrics["metric"] == "auroc"] if "metric" in metrics else metrics
    rows = rows.set_index("class").reindex(list(classes))
    said = []
    for name, row in rows.iterrows():
        bounds = "" if pd.isna(row["lower_95"]) else f" [{row['lower_95']:.2f}, {row['upper_95']:.2f}]"
        said.append(
            f"{name} cannot be computed" if pd.isna(row["value"]) else f"{name} AUROC {row['value']:.2f}{bounds}"
        )
    return f"ROC by class: {', '.join(said)}. 0.5 is guessing, 1 is perfect."


def pr_words(points: pd.DataFrame, classes: Sequence[str]) -> str:
    """What ``pr_figure`` shows, from the points of ``evidence.curves.pr_points``."""
    rows = points.groupby("class")[["average_precision", "share_of_cases"]].first().reindex(list(classes))
    said = [
        f"{name} cannot be computed"
        if pd.isna(row["average_precision"])
        else f"{name} average precision {row['average_precision']:.2f} (guessing {row['share_of_cases']:.2f})"
        for name, row in rows.iterrows()
    ]
    return f"Precision against recall by class: {', '.join(said)}."


def _lines(figure, points, classes, *, x: str, y: str, area: str, short: str, shape: str) -> None:
    colours = class_colours(classes)
    for place, name in enumerate(classes):
        rows = points[points["class"] == name]
        if rows.empty:
            continue
        shown = escape(str(name), quote=False)
        figure.add_scatter(
            x=rows[x],
            y=rows[y],
            mode="lines",
            name=f"{shown}, {short} {rows[area].iloc[0]:.2f}",
            line={"color": colours[name], "dash": _DASHES[place % len(_DASHES)], "shape": shape, "width": 2},
            customdata=rows[["threshold"]],
            hovertemplate=f"{shown} called from %{{customdata[0]:.3f}}: {x} %{{x:.3f}}, {y} %{{y:.3f}}<extra></extra>",
        )


def _square(figure: go.Figure, *, x: str, y: str) -> go.Figure:
    axis = {"range": [-0.02, 1.02], "gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "tickformat": ".0%"}
    figure.update_xaxes(title=x, **axis)
    figure.update_yaxes(title=y, **axis)
    plain(figure, height=420)
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0})
