"""Figures of the reports: accuracy, confusion, ROC, reliability, risk-coverage and decision curves, recall by class.

Tables in, charts out: no statistic is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from her2core.evidence.verdict import Figure
from her2core.identity import LIGHT, class_colour
from her2core.io.text import clean_text
from her2core.plots.abstention import risk_coverage_description
from her2core.plots.decisions import decision_description
from her2core.plots.reliability import reliability_description
from her2core.report.canvas import WIDTH, draw, name_axis, percent_axis
from her2core.report.document import Chart
from her2core.report.fonts import report_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Most classes with a line of their own, as more cannot be distinguished; the tables have all.
MOST_LINES = 4
_NAME = 22
_FIRST, _SECOND = class_colour(0), class_colour(4)
_MUTED, _INK, _BAND = LIGHT["muted"], LIGHT["ink"], LIGHT["band"]


def accuracy_chart(figures: Sequence[Figure], *, width: float = 2 * WIDTH) -> Chart | None:
    """Accuracy as usually reported and with honest intervals; None where there is no figure.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> accuracy_chart(example_report().verdict.figures).caption
    'Accuracy of the test partition, with 95 % intervals'
    """
    if not figures:
        return None

    def plot(axes: Axes) -> None:
        for i, figure in enumerate(figures):
            colour = _MUTED if figure.name in ("as_reported", "all_rows") else LIGHT["accent"]
            _value_with_interval(axes, i, figure.value, figure.lower_95, figure.upper_95, colour)
            axes.annotate(figure.text, (1.01, i), xycoords=("axes fraction", "data"), va="center", color=_INK)
        percent_axis(axes, "x", "accuracy")
        name_axis(axes, [figure.short for figure in figures])

    said = "; ".join(f"{figure.label}: {figure.text}" for figure in figures)
    title = "Accuracy of the test partition, with 95 % intervals"
    left = _room([figure.short for figure in figures])
    return _chart(title, f"{said}.", plot, width=width, height=36 + 19 * len(figures), left=left, right=104)


def confusion_chart(table: pd.DataFrame, classes: Sequence[str], unit: str, *, width: float = WIDTH) -> Chart | None:
    """Confusion matrix, shaded by the share of the true class; None beyond six classes, where cells have no room.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> report = example_report()
    >>> confusion = report.evaluation.confusion
    >>> confusion_chart(confusion[confusion["unit"] == "patch"], report.classes, "patch").caption
    'Confusion matrix by patch: true class down, predicted class across'
    """
    if len(classes) > 6:
        return None
    names = [_short(c) for c in classes]
    counts = table.pivot(index="true", columns="predicted", values="count").loc[list(classes), list(classes)]
    shares = table.pivot(index="true", columns="predicted", values="proportion_of_true").reindex_like(counts)

    def plot(axes: Axes) -> None:
        for i, j in np.ndindex(counts.shape):
            share = shares.iat[i, j] if np.isfinite(shares.iat[i, j]) else 0.0
            corners = [j - 0.48, j + 0.48, j + 0.48, j - 0.48], [i - 0.46, i - 0.46, i + 0.46, i + 0.46]
            axes.fill(*corners, "#ffffff")
            axes.fill(*corners, color=LIGHT["accent"] if i == j else class_colour(4), alpha=0.06 + 0.54 * share)
            axes.text(j, i - 0.1, f"{int(counts.iat[i, j]):,}", ha="center", va="center", fontsize=10, color="#1d1a21")
            axes.text(j, i + 0.24, f"{100 * share:.0f} %", ha="center", va="center", fontsize=7, color="#1d1a21")
        name_axis(axes, names)
        axes.set(xlim=(-0.5, len(names) - 0.5), xlabel="predicted class", ylabel="true class")
        axes.set_xticks(range(len(names)), names, color=_INK)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)

    right = "; ".join(f"{c}: {int(counts.at[c, c])} of {int(counts.loc[c].sum())} recognised" for c in classes)
    title = f"Confusion matrix by {unit}: true class down, predicted class across"
    return _chart(title, f"{right}.", plot, width=width, height=36 + 42 * len(classes), left=_room(names) + 12)


def roc_chart(points: pd.DataFrame, classes: Sequence[str], unit: str) -> Chart | None:
    """ROC curve of each class against the rest; None where no class has one. ``points`` as ``curves.roc_points``.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> report = example_report()
    >>> chart = roc_chart(report.roc["patch"], report.classes, "patch")
    >>> chart.caption
    'ROC by patch, one class against the rest'
    """
    shown = [c for c in classes if (points["class"] == c).any()]
    if not shown:
        return None

    def plot(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        for name in shown[:MOST_LINES]:
            rows = points[points["class"] == name]
            label = f"{_short(name)} {rows['auroc'].iloc[0]:.3f}"
            axes.plot(rows["fpr"], rows["tpr"], color=_colour(classes, name), label=label)
        percent_axis(axes, "x", "1 - specificity", limits=(-0.01, 1))
        percent_axis(axes, "y", "sensitivity", limits=(0, 1.01))
        axes.legend(loc="lower right")

    values = ", ".join(f"{c} {points.loc[points['class'] == c, 'auroc'].iloc[0]:.3f}" for c in shown)
    title = f"ROC by {unit}, one class against the rest{_of(shown)}"
    return _chart(title, f"Area under the curve: {values}.", plot)


def reliability_chart(bins: pd.DataFrame, calibration: pd.DataFrame, classes: Sequence[str], unit: str) -> Chart:
    """Reliability diagram of the most probable class: mean confidence against observed frequency, by bin.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> report = example_report()
    >>> bins, errors = report.table("reliability", "patch"), report.table("calibration", "patch")
    >>> reliability_chart(bins, errors, report.classes, "patch").caption[:19]
    'Reliability diagram'
    """
    rows = bins[bins["class"].astype(object).fillna("") == ""]

    def plot(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.vlines(rows["mean_probability"], rows["lower_95"], rows["upper_95"], color=_FIRST, alpha=0.45, linewidth=2)
        axes.plot(rows["mean_probability"], rows["value"], "o-", color=_FIRST, markersize=3.5)
        percent_axis(axes, "x", "mean confidence")
        percent_axis(axes, "y", "observed frequency", limits=(0, 1.02))

    values = calibration.assign(**{"class": calibration["class"].astype(object).fillna("")})
    title = f"Reliability diagram of the most probable class by {unit}; the dashed line is perfect calibration"
    return _chart(title, reliability_description(values, classes), plot)


def risk_chart(table: pd.DataFrame, unit: str) -> Chart:
    """Risk-coverage curve: error rate among the answered cases against their share.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> report = example_report()
    >>> risk_chart(report.table("risk_coverage", "patch"), "patch").caption
    'Risk-coverage curve by patch, with its interval'
    """
    rows = table[table["metric"] == "risk"]
    top = float(np.nanmax([*rows["value"], *rows["upper_95"], 0.05]))

    def plot(axes: Axes) -> None:
        axes.fill_between(rows["coverage"], rows["lower_95"], rows["upper_95"], color=_BAND, linewidth=0)
        axes.plot(rows["coverage"], rows["value"], color=_FIRST)
        percent_axis(axes, "x", "coverage (most confident first)")
        percent_axis(axes, "y", "risk (error rate)", limits=(0, top))

    return _chart(f"Risk-coverage curve by {unit}, with its interval", risk_coverage_description(table), plot)


def decision_chart(table: pd.DataFrame, unit: str) -> Chart:
    """Decision curve: net benefit of the network, of all positive and of none, by threshold probability.

    Negative values are cut off below a quarter of the highest.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> report = example_report()
    >>> decision_chart(report.table("decisions", "patch"), "patch").caption
    'Decision curve by patch: class positive'
    """
    network = table[table["strategy"] == "model"]
    shown = table[table["strategy"] != "model minus treat all"]
    top = float(max(0.05, shown["value"].max(), np.nanmax([*network["upper_95"], 0])))

    def plot(axes: Axes) -> None:
        axes.fill_between(network["threshold"], network["lower_95"], network["upper_95"], color=_BAND, linewidth=0)
        for strategy, colour in (("model", _FIRST), ("treat all", _SECOND), ("treat none", _MUTED)):
            rows, dash = table[table["strategy"] == strategy], "-" if strategy == "model" else (0, (4, 3))
            axes.plot(rows["threshold"], rows["value"], color=colour, label=strategy, linestyle=dash)
        percent_axis(axes, "x", "threshold probability")
        percent_axis(axes, "y", "net benefit per 100 cases", limits=(-top / 4, top * 1.05))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
        axes.legend(loc="upper right")

    of = _short(str(table["class"].iloc[0]))
    return _chart(f"Decision curve by {unit}: class {of}", decision_description(table), plot)


def recall_chart(metrics: pd.DataFrame, classes: Sequence[str], unit: str) -> Chart:
    """Recall of each class with its interval.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> report = example_report()
    >>> metrics = report.evaluation.metrics
    >>> recall_chart(metrics[metrics["unit"] == "patch"], report.classes, "patch").alt[:7]
    'Recall:'
    """
    rows = metrics[metrics["metric"] == "recall"].set_index("class").reindex(list(classes))
    names = [_short(c, 18) for c in classes]

    def plot(axes: Axes) -> None:
        for i, row in enumerate(rows.itertuples()):
            _value_with_interval(axes, i, row.value, row.lower_95, row.upper_95, class_colour(i))
        percent_axis(axes, "x", "recall (sensitivity)", limits=(0, 1.015))
        name_axis(axes, names)

    values = ", ".join(
        f"{c} {v:.3f}" if np.isfinite(v) else f"{c} cannot be computed" for c, v in rows["value"].items()
    )
    title = f"Recall of each class by {unit}, with its interval"
    return _chart(title, f"Recall: {values}.", plot, height=36 + 17 * len(classes), left=_room(names))


def _value_with_interval(axes: Axes, line: int, value: float, lower: float, upper: float, colour: str) -> None:
    axes.plot([lower, upper], [line, line], color=colour, linewidth=4.5, alpha=0.35)
    axes.plot([value], [line], "o", color=colour, markersize=6)


def _chart(caption: str, alt: str, plot: Callable[[Axes], None], **size: float) -> Chart:
    return Chart(caption, alt, partial(draw, plot, **size))


def _room(names: Sequence[str]) -> float:
    """Left margin in points for names beside the axis."""
    return 14 + 4.1 * max(map(len, names))


def _short(name: str, length: int = _NAME) -> str:
    return report_fonts().drawable(clean_text(name, length))


def _colour(classes: Sequence[str], name: str) -> str:
    return class_colour(list(classes).index(name))


def _of(shown: Sequence[str]) -> str:
    return f" (the first {MOST_LINES} of {len(shown)} classes)" if len(shown) > MOST_LINES else ""
