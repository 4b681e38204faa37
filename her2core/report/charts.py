"""Charts of the run report: ROC, reliability, risk-coverage and decision curves, recall by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from her2core.io.text import clean_text
from her2core.plots.abstention import risk_coverage_description
from her2core.plots.decisions import decision_description
from her2core.plots.reliability import reliability_description
from her2core.report.document import Chart
from her2core.report.drawing import BOTTOM, TOP, Axes, shares

#: Most classes with a line of their own, as more cannot be distinguished; the tables have all.
MOST_LINES = 4
_PERCENT = shares(0, 0.25, 0.5, 0.75, 1)
_NAME = 22


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
    axes = Axes((0, 1), (0, 1), "1 - specificity", "sensitivity", _PERCENT, _PERCENT)
    axes.line([0, 1], [0, 1], "muted", dashed=True)
    names = []
    for name in shown[:MOST_LINES]:
        rows, role = points[points["class"] == name], _role(classes, name)
        axes.line(rows["fpr"].tolist(), rows["tpr"].tolist(), role)
        names.append((f"{clean_text(name, _NAME)} {rows['auroc'].iloc[0]:.3f}", role))
    axes.legend(names)
    values = ", ".join(f"{c} {points.loc[points['class'] == c, 'auroc'].iloc[0]:.3f}" for c in shown)
    return Chart(
        f"ROC by {unit}, one class against the rest{_of(shown)}", f"Area under the curve: {values}.", axes.drawing()
    )


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
    axes = Axes((0, 1), (0, 1), "mean confidence", "observed frequency", _PERCENT, _PERCENT)
    axes.line([0, 1], [0, 1], "muted", dashed=True)
    for row in rows.itertuples():
        axes.bar(((row.mean_probability, row.lower_95), (row.mean_probability, row.upper_95)), "c0")
    axes.line(rows["mean_probability"].tolist(), rows["value"].tolist(), "c0")
    axes.dots(rows["mean_probability"].tolist(), rows["value"].tolist(), "c0")
    values = calibration.assign(**{"class": calibration["class"].astype(object).fillna("")})
    return Chart(
        f"Reliability diagram of the most probable class by {unit}; the dashed line is perfect calibration",
        reliability_description(values, classes),
        axes.drawing(),
    )


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
    axes = Axes((0, 1), (0, top), "coverage (most confident first)", "risk (error rate)", _PERCENT, _up(top))
    axes.band(*(rows[c].tolist() for c in ("coverage", "lower_95", "upper_95")))
    axes.line(rows["coverage"].tolist(), rows["value"].tolist(), "c0")
    title = f"Risk-coverage curve by {unit}, with its interval"
    return Chart(title, risk_coverage_description(table), axes.drawing())


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
    ticks = [(v, words.removesuffix(" %")) for v, words in _up(top)]
    axes = Axes((0, 1), (-top / 4, top * 1.05), "threshold probability", "net benefit per 100 cases", _PERCENT, ticks)
    axes.band(*(network[c].tolist() for c in ("threshold", "lower_95", "upper_95")))
    names = []
    for strategy, role, words in (
        ("model", "c0", "model"),
        ("treat all", "c4", "treat all"),
        ("treat none", "muted", "treat none"),
    ):
        rows = table[table["strategy"] == strategy]
        value = rows["value"].where(rows["value"] >= -top / 4)
        axes.line(rows["threshold"].tolist(), value.tolist(), role, dashed=strategy != "model")
        names.append((words, role))
    axes.legend(names, low=False)
    of = clean_text(table["class"].iloc[0], _NAME)
    return Chart(f"Decision curve by {unit}: class {of}", decision_description(table), axes.drawing())


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
    count = len(classes)
    height = TOP + BOTTOM + max(60.0, 15.0 * count)
    ticks = [(count - 1 - i, clean_text(c, 18)) for i, c in enumerate(classes)]
    axes = Axes((0, 1), (-0.6, count - 0.4), "recall (sensitivity)", "", _PERCENT, ticks, height=height, left=84.0)
    for i, row in enumerate(rows.itertuples()):
        place = count - 1 - i
        axes.bar(((row.lower_95, place), (row.upper_95, place)), _role(classes, classes[i]))
        axes.dots([row.value], [place], _role(classes, classes[i]))
    values = ", ".join(
        f"{c} {v:.3f}" if np.isfinite(v) else f"{c} cannot be computed" for c, v in rows["value"].items()
    )
    return Chart(f"Recall of each class by {unit}, with its interval", f"Recall: {values}.", axes.drawing())


def _role(classes: Sequence[str], name: str) -> str:
    return f"c{list(classes).index(name) % 12}"


def _of(shown: Sequence[str]) -> str:
    return f" (the first {MOST_LINES} of {len(shown)} classes)" if len(shown) > MOST_LINES else ""


def _up(top: float) -> list[tuple[float, str]]:
    """Three to six ticks at round shares from 0 to ``top``."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.25) if top / s <= 5 or s == 0.25)
    return shares(*(step * i for i in range(int(top / step + 1e-9) + 1)))
