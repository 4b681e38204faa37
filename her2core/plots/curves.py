"""ROC and precision-recall curves by class, from the points of ``evidence.curves``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import NEUTRAL, apply_layout, class_colours, html_text, interval_text

#: A second sign beside the colour, by position in the scheme.
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def roc_figure(points: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Plot the one-vs-rest ROC curve of each class; the dotted diagonal is chance.

    Parameters
    ----------
    points : pandas.DataFrame
        From ``evidence.curves.roc_points``: ``class``, ``threshold``, ``fpr``, ``tpr``, ``auroc``.
    classes : sequence of str
        Class names in their order; one without points has no curve.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> points = pd.DataFrame({"class": "positive", "threshold": [1.0, 0.5, 0.0], "fpr": [0, 0.2, 1],
    ...                        "tpr": [0, 0.9, 1], "auroc": 0.85})
    >>> roc_figure(points, ("positive",)).data[0].name
    'positive, AUROC 0.85'
    """
    figure = go.Figure()
    _add_curves(figure, points, classes, x="fpr", y="tpr", area="auroc", short="AUROC", shape="linear")
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": NEUTRAL, "dash": "dot"}, layer="below")
    return _unit_square(figure, x="false positive rate (1 - specificity)", y="true positive rate (sensitivity)")


def pr_figure(points: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Plot the one-vs-rest precision-recall curve of each class, stepped.

    Between two points precision is not interpolated linearly.

    Parameters
    ----------
    points : pandas.DataFrame
        From ``evidence.curves.pr_points``: ``class``, ``threshold``, ``recall``, ``precision``, ``average_precision``.
    classes : sequence of str
        Class names in their order; one without points has no curve.

    Returns
    -------
    plotly.graph_objects.Figure

    References
    ----------
    Davis & Goadrich 2006, "The relationship between precision-recall and ROC curves", doi 10.1145/1143844.1143874.
    """
    figure = go.Figure()
    _add_curves(figure, points, classes, x="recall", y="precision", area="average_precision", short="AP", shape="vh")
    return _unit_square(figure, x="recall (sensitivity)", y="precision (PPV)")


def roc_description(metrics: pd.DataFrame, classes: Sequence[str]) -> str:
    """Describe ``roc_figure`` by the AUROC of each class with its interval.

    Parameters
    ----------
    metrics : pandas.DataFrame
        Metrics of one unit: ``metric``, ``class``, ``value``, ``lower_95``, ``upper_95``.
    classes : sequence of str
        Class names in their order.

    Returns
    -------
    str
        Text alternative.
    """
    rows = metrics[metrics["metric"] == "auroc"] if "metric" in metrics else metrics
    rows = rows.set_index("class").reindex(list(classes))
    parts = [
        f"{name} AUROC {interval_text(row['value'], row['lower_95'], row['upper_95'], '.2f')}"
        for name, row in rows.iterrows()
    ]
    return f"ROC curves by class: {', '.join(parts)}. Chance is 0.5, perfect discrimination 1."


def pr_description(points: pd.DataFrame, classes: Sequence[str]) -> str:
    """Describe ``pr_figure`` by the average precision and the prevalence of each class.

    Parameters
    ----------
    points, classes
        As for ``pr_figure``; ``prevalence`` is the proportion of cases.

    Returns
    -------
    str
        Text alternative.
    """
    rows = points.groupby("class")[["average_precision", "prevalence"]].first().reindex(list(classes))
    parts = [
        f"{name} average precision not computable"
        if pd.isna(row["average_precision"])
        else f"{name} average precision {row['average_precision']:.2f} (chance {row['prevalence']:.2f})"
        for name, row in rows.iterrows()
    ]
    return f"Precision-recall curves by class: {', '.join(parts)}."


def _add_curves(
    figure: go.Figure,
    points: pd.DataFrame,
    classes: Sequence[str],
    *,
    x: str,
    y: str,
    area: str,
    short: str,
    shape: str,
) -> None:
    colours = class_colours(classes)
    for position, name in enumerate(classes):
        rows = points[points["class"] == name]
        if rows.empty:
            continue
        label = html_text(name)
        figure.add_scatter(
            x=rows[x],
            y=rows[y],
            mode="lines",
            name=f"{label}, {short} {rows[area].iloc[0]:.2f}",
            line={"color": colours[name], "dash": _DASHES[position % len(_DASHES)], "shape": shape, "width": 2},
            customdata=rows[["threshold"]],
            hovertemplate=f"{label}, threshold %{{customdata[0]:.3f}}: {x} %{{x:.3f}}, {y} %{{y:.3f}}<extra></extra>",
        )


def _unit_square(figure: go.Figure, *, x: str, y: str) -> go.Figure:
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%"}
    figure.update_xaxes(title=x, **axis)
    figure.update_yaxes(title=y, **axis)
    return apply_layout(figure, height=380, legend=True, values="xy")
