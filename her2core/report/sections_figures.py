"""Sections of figures in the run report: performance with baselines, thresholds, calibration and abstention."""

from __future__ import annotations

import pandas as pd

from her2core.evidence.baselines import BASELINES, METRICS
from her2core.evidence.metrics.registry import metric_label, metrics_of
from her2core.evidence.operating_points import RULE_LABELS, THRESHOLD_RULES
from her2core.report.document import Block, Grid, Row, Section, Words
from her2core.report.figures import recall_chart, reliability_chart, risk_chart, roc_chart
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, Notes, cell, confusion_grid, figure, figures, pivot
from her2core.report.sections import absent, section, text, units

_OVERALL = tuple(m.name for m in metrics_of("metrics") if not m.per_class)
_OF_CLASS = tuple(m.name for m in metrics_of("metrics") if m.per_class)
#: Metrics of single classes in one table.
_TOGETHER = 4
_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
_RECALIBRATION = ("calibration_slope", "calibration_intercept", "calibration_in_the_large", "brier")
#: Columns of the prediction sets, with titles.
_SETS = {
    "nominal_coverage": "Nominal",
    "set_coverage": "Coverage",
    "set_coverage_by_patient": "Patients weighing the same",
    "mean_size": "Mean size",
    "singleton_rate": "One class",
    "empty_rate": "Empty",
}
_COVERAGES = (0.25, 0.5, 0.75, 0.9, 1.0)


def performance(r: RunReport) -> Section:
    """All metrics of the evaluation, confusion matrices, ROC curves and recall.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> performance(example_report()).title
    'Performance'
    """
    metrics = r.evaluation.metrics
    overall = metrics[metrics["class"] == ""]
    names = [m for m in (*_OVERALL, *overall["metric"]) if (overall["metric"] == m).any()]
    caption, order = "Metrics over all classes, with 95 % intervals", list(dict.fromkeys(names))
    blocks: list[Block] = [
        Words(text("performance", "two_readings")),
        pivot(overall, caption, down="metric", across="unit", order=order, columns=r.units),
        *baseline_blocks(r),
    ]
    for unit in r.units:
        rows = metrics[(metrics["unit"] == unit) & (metrics["class"] != "")]
        charts = (roc_chart(r.roc[unit], r.classes, unit), recall_chart(rows, r.classes, unit))
        blocks += [Words(f"By {unit}", "strong"), Row(tuple(c for c in charts if c is not None))]
        names = list(dict.fromkeys((*_OF_CLASS, *rows["metric"])))
        for i in range(0, len(names), _TOGETHER):
            group, caption = names[i : i + _TOGETHER], f"Each class against the rest, by {unit}"
            here = rows[rows["metric"].isin(group)]
            blocks.append(pivot(here, caption, down="class", across="metric", order=r.classes, columns=group))
        confusion = r.evaluation.confusion
        blocks.append(confusion_grid(confusion[confusion["unit"] == unit], r.classes, unit))
    return section("performance", *blocks)


def baseline_blocks(r: RunReport) -> list[Block]:
    """A table of the baselines by unit, with reasons for those that are missing.

    Parameters
    ----------
    r : RunReport

    Returns
    -------
    list of Block
        One sentence where they were not computed; nothing for a table of predictions.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> baseline_blocks(example_report())
    []
    """
    if r.run is None:
        return []
    if r.baselines is None:
        return [Words(text("performance", "no_baselines"), "note")]
    blocks: list[Block] = [Words("Baselines", "strong"), Words(text("performance", "baselines"))]
    head = ("Baseline", "Metric", "Value", "Network", "Difference", "The network is")
    for unit in r.units:
        rows = r.baselines[(r.baselines["unit"] == unit) & r.baselines["metric"].isin(METRICS)]
        missing = r.missing[(r.missing["table"] == "baselines") & (r.missing["unit"] == unit)]
        if rows.empty and missing.empty:
            continue
        body, notes = [], []
        for row in rows.itertuples():
            value = figure(row.value, row.lower_95, row.upper_95)
            difference = figure(row.difference, row.difference_lower_95, row.difference_upper_95)
            name = BASELINES.get(row.baseline, row.baseline)
            body.append((name, metric_label(row.metric), value, figure(row.network), difference, row.statement))
        for reason, of in missing.groupby("reason", sort=False)["what"]:
            notes.append(f"Not computed: {', '.join(BASELINES.get(n, n) for n in of)}. {reason}.")
        caption, wide = f"Baselines by {unit}, with 95 % intervals", (1.2, 1.2, 1.4, 0.8, 1.5, 1.5)
        blocks.append(Grid(caption, head, tuple(body), wide, notes=tuple(notes)))
    return blocks


def operating_points(r: RunReport) -> Section:
    """Sensitivity, specificity, PPV and NPV at thresholds set on validation by named rules.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> operating_points(example_report()).title
    'Operating points set on validation'
    """
    blocks: list[Block] = [Words(text("operating", "on_validation"))]
    first = {"threshold": "Threshold", "validation_cases": "Cases"}
    for unit, rows in r.by_unit("operating_points").items():
        for rule in THRESHOLD_RULES:
            here = rows[(rows["rule"] == rule) & ~rows["metric"].isin(_COUNTS)]
            order = [name for name in r.classes if (here["class"] == name).any()]
            if order:
                caption = f"By {unit}, rule {rule}: {RULE_LABELS[rule]}"
                blocks.append(pivot(here, caption, down="class", across="metric", order=order, first=first))
    return section("operating", *blocks, *absent(r, "operating_points"))


def calibration(r: RunReport) -> Section:
    """Calibration errors before and after temperature scaling, Brier decomposition, calibration slope and intercept.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> calibration(example_report()).title
    'Calibration'
    """
    blocks: list[Block] = []
    reliability = r.by_unit("reliability")
    for unit, rows in r.by_unit("calibration").items():
        after = rows[rows["scores"] != "uncalibrated"]
        blocks.append(Words(f"By {unit}", "strong"))
        if unit in reliability:
            blocks.append(Row((reliability_chart(reliability[unit], after, r.classes, unit),)))
        caption = f"Calibration by {unit}, with 95 % intervals"
        blocks.append(pivot(rows[rows["class"] == ""], caption, down="metric", across="scores"))
        of_class = after[after["metric"].isin(_RECALIBRATION) & (after["class"] != "")]
        caption = f"Each class against the rest, by {unit} ({rows['scores'].iloc[-1]} scores)"
        columns = _RECALIBRATION
        blocks.append(pivot(of_class, caption, down="class", across="metric", order=r.classes, columns=columns))
    return section("calibration", *blocks, *absent(r, "calibration"))


def abstention(r: RunReport) -> Section:
    """Risk against coverage, prediction sets, and cases sent for IHC/ISH.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> abstention(example_report()).title
    'Abstention'
    """
    blocks: list[Block] = []
    if risks := r.by_unit("risk_coverage"):
        blocks += [Row(tuple(risk_chart(table, unit) for unit, table in risks.items())), _risk_grid(risks)]
    if r.coverage is not None:
        blocks += [_coverage_grid(rows, str(unit)) for unit, rows in r.coverage.groupby("unit", sort=False)]
    is_her2 = r.run is None or r.card["scheme"]["is_her2"]
    sent, names = ("sent for IHC/ISH", {}) if is_her2 else ("abstained", {"referral_rate": "Abstained"})
    for unit, rows in r.by_unit("referral").items():
        rows, order = rows.assign(**{"class": rows["class"].replace("", "all")}), [*r.classes, "all"]
        caption = f"Answered where the prediction set has one class, otherwise {sent}, by {unit}"
        head = "True class"
        blocks.append(pivot(rows, caption, down="class", across="metric", order=order, names=names, head=head))
    return section("abstention", *blocks, *absent(r, "risk_coverage", "referral"))


def _risk_grid(risks: dict[str, pd.DataFrame]) -> Grid:
    notes, at, areas = Notes(()), {}, []
    for unit, table in risks.items():
        at[unit] = table[table["metric"] == "risk"]
        areas.append(cell(table[table["metric"] == "aurc"].iloc[0], notes))
    body = []
    for share in _COVERAGES:
        reached = {unit: rows[rows["coverage"] >= share - 1e-9].iloc[0] for unit, rows in at.items()}
        cells = [f"{cell(row, notes)} of {units(unit, int(row['n']))}" for unit, row in reached.items()]
        body.append((f"most confident {100 * share:.0f} %", *cells))
    body.append(("area under the curve (AURC)", *areas))
    head = ("Coverage", *(f"by {unit}" for unit in risks))
    return figures("Risk (error rate among answered cases)", head, body, wide=1.2, each=1.4, notes=notes.lines)


def _coverage_grid(table: pd.DataFrame, unit: str) -> Grid:
    body = []
    for row in table.to_dict("records"):
        shares = [figure(row.get(column, float("nan"))) for column in _SETS]
        body.append((row["class"] or "all", *shares, f"{int(row['n']):,}" if row["n"] else NONE))
    caption = f"Prediction sets of the test {units(unit, 2).split()[1]}"
    notes = dict.fromkeys(note for note in table["note"] if note)
    return figures(caption, ("True class", *_SETS.values(), "Rows"), body, wide=1.4, notes=notes)
