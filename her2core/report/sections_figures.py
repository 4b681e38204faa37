"""Sections of figures in the run report: performance, thresholds, calibration, abstention and decisions."""

from __future__ import annotations

import pandas as pd

from her2core.evidence.metrics.registry import metric_label, metrics_of
from her2core.evidence.operating_points import RULE_LABELS, THRESHOLD_RULES
from her2core.evidence.result_tables import UNITS
from her2core.report.document import Block, Grid, Row, Section, Words
from her2core.report.figures import decision_chart, recall_chart, reliability_chart, risk_chart, roc_chart
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, Notes, cell, confusion_grid, figure, pivot
from her2core.report.sections import section, units, where
from her2core.report.sections_baselines import baseline_blocks
from her2core.report.sections_referral import referral_blocks

_OVERALL = tuple(m.name for m in metrics_of("metrics") if not m.per_class)
_OF_CLASS = tuple(m.name for m in metrics_of("metrics") if m.per_class)
#: Metrics of single classes, four to a table.
_PER_CLASS = tuple(_OF_CLASS[i : i + 4] for i in range(0, len(_OF_CLASS), 4))
_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
_RECALIBRATION = ("calibration_slope", "calibration_intercept", "calibration_in_the_large", "brier")
_SET_COLUMNS = (
    "nominal_coverage",
    "set_coverage",
    "set_coverage_by_patient",
    "mean_size",
    "singleton_rate",
    "empty_rate",
)
_COVERAGES, _THRESHOLDS = (0.25, 0.5, 0.75, 0.9, 1.0), (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_TWO_READINGS = (
    '"Class-specific accuracy" has two readings: recall (the share of a class that was recognised) and one-vs-rest '
    "accuracy (the share of all cases whose membership of a class was predicted correctly). Both are reported."
)
_ON_VALIDATION = (
    "A threshold selected on the test partition makes the figures of that partition optimistic. These were selected on "
    "the validation partition (with the number of cases shown) and applied unchanged to the test partition."
)


def performance(r: RunReport) -> Section:
    """All metrics of the evaluation, confusion matrices, ROC curves and recall.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> performance(example_report()).title
    'Performance'
    """
    metrics = r.evaluation.metrics
    overall = metrics[metrics["class"].astype(object).fillna("") == ""]
    known = [m for m in _OVERALL if (overall["metric"] == m).any()]
    order = [*known, *(m for m in dict.fromkeys(overall["metric"]) if m not in known)]
    blocks: list[Block] = [
        Words(_TWO_READINGS),
        pivot(
            overall,
            caption="Metrics over all classes, with 95 % intervals",
            head="Metric",
            down="metric",
            across="unit",
            order=order,
            columns=[(u, f"by {u}") for u in r.units],
            label=metric_label,
            wide=1.5,
        ),
        *baseline_blocks(r),
    ]
    for unit in r.units:
        rows = metrics[(metrics["unit"] == unit) & (metrics["class"].astype(object).fillna("") != "")]
        blocks.append(Words(f"By {unit}", "strong"))
        charts = (roc_chart(r.roc[unit], r.classes, unit), recall_chart(rows, r.classes, unit))
        blocks.append(Row(tuple(c for c in charts if c is not None)))
        shown_metrics = {m for group in _PER_CLASS for m in group}
        rest = tuple(m for m in dict.fromkeys(rows["metric"]) if m not in shown_metrics)
        for group in (*_PER_CLASS, *((rest,) if rest else ())):
            here = rows[rows["metric"].isin(group)]
            columns = [(m, metric_label(m)) for m in group]
            blocks.append(
                pivot(
                    here,
                    caption=f"Each class against the rest, by {unit}",
                    head="Class",
                    down="class",
                    across="metric",
                    order=r.classes,
                    columns=columns,
                    wide=1.0,
                )
            )
        blocks.append(confusion_grid(_at(r.evaluation.confusion, unit), r.classes, unit))
    return section("performance", *blocks)


def operating_points(r: RunReport) -> Section:
    """Sensitivity, specificity, PPV and NPV at thresholds set on validation by named rules.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> operating_points(example_report()).title
    'Operating points set on validation'
    """
    blocks: list[Block] = [Words(_ON_VALIDATION)]
    for unit in UNITS:
        rows = r.table("operating_points", unit)
        for rule in THRESHOLD_RULES:
            here = rows[(rows["rule"] == rule) & ~rows["metric"].isin(_COUNTS)]
            if here.empty:
                continue
            of = [c for c in r.classes if (here["class"] == c).any()]
            blocks.append(
                pivot(
                    here,
                    caption=f"By {unit}, rule {rule}: {RULE_LABELS[rule]}",
                    head="Class",
                    down="class",
                    across="metric",
                    order=of,
                    columns=[(m, metric_label(m)) for m in dict.fromkeys(here["metric"])],
                    first=[("threshold", "Threshold"), ("validation_cases", "Cases")],
                    wide=1.0,
                )
            )
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
    for unit in UNITS:
        rows = r.table("calibration", unit)
        if rows.empty:
            continue
        after = rows[rows["scores"] != "uncalibrated"]
        blocks.append(Words(f"By {unit}", "strong"))
        bins = r.table("reliability", unit)
        if not bins.empty:
            blocks.append(Row((reliability_chart(bins, after, r.classes, unit),)))
        overall = rows[rows["class"].astype(object).fillna("") == ""]
        scores = list(dict.fromkeys(rows["scores"]))
        blocks.append(
            pivot(
                overall,
                caption=f"Calibration by {unit}, with 95 % intervals",
                head="Metric",
                down="metric",
                across="scores",
                order=list(dict.fromkeys(overall["metric"])),
                columns=[(s, s) for s in scores],
                label=metric_label,
            )
        )
        per_class = after[after["metric"].isin(_RECALIBRATION) & (after["class"].astype(object).fillna("") != "")]
        blocks.append(
            pivot(
                per_class,
                caption=f"Each class against the rest, by {unit} ({scores[-1]} scores)",
                head="Class",
                down="class",
                across="metric",
                order=r.classes,
                columns=[(m, metric_label(m)) for m in _RECALIBRATION],
                wide=1.0,
            )
        )
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
    charts = [risk_chart(r.table("risk_coverage", u), u) for u in UNITS if len(r.table("risk_coverage", u))]
    if charts:
        blocks.append(Row(tuple(charts)))
        blocks.append(_risk_grid(r))
    if r.coverage is not None:
        blocks += [_coverage_grid(rows, str(unit)) for unit, rows in r.coverage.groupby("unit", sort=False)]
    for unit in UNITS:
        rows = r.table("referral", unit)
        if rows.empty:
            continue
        outcomes = [(m, metric_label(m)) for m in dict.fromkeys(rows["metric"])]
        sent = "sent for IHC/ISH"
        if not r.card["scheme"]["is_her2"]:
            outcomes, sent = (
                [(m, "Abstained" if m == "referral_rate" else words) for m, words in outcomes],
                "abstained",
            )
        rows = rows.assign(**{"class": rows["class"].astype(object).fillna("").replace("", "all")})
        blocks.append(
            pivot(
                rows,
                caption=f"Answered where the prediction set has one class, otherwise {sent}, by {unit}",
                head="True class",
                down="class",
                across="metric",
                order=[*r.classes, "all"],
                columns=outcomes,
                wide=0.9,
            )
        )
    return section("abstention", *blocks, *absent(r, "risk_coverage", "referral"))


def decisions(r: RunReport) -> Section:
    """Net benefit of the network, compared with treating all or none as positive.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> decisions(example_report()).title
    'Decision curve'
    """
    tables = {u: r.table("decisions", u) for u in UNITS}
    shown_metrics = {u: t for u, t in tables.items() if not t.empty}
    blocks: list[Block] = []
    if shown_metrics:
        lines = (
            "Net benefit per case: true positives minus false positives, the latter weighted by the odds of the "
            "threshold probability. It presupposes calibrated probabilities"
        )
        blocks.append(Words(f"{lines}: see {where('calibration')}."))
        blocks.append(Row(tuple(decision_chart(t, u) for u, t in shown_metrics.items())))
    for unit, table in shown_metrics.items():
        near = table[table["threshold"].round(6).isin(_THRESHOLDS)].assign(step=table["threshold"].map("{:.2f}".format))
        of = str(table["class"].iloc[0])
        names = [
            (s, f"{s}, difference" if s == "model minus treat all" else s)
            for s in ("model", "treat all", "model minus treat all")
        ]
        blocks.append(
            pivot(
                near,
                caption=f"Net benefit of class {of} by {unit} (none positive: 0)",
                head="Threshold",
                down="step",
                across="strategy",
                order=[f"{t:.2f}" for t in _THRESHOLDS],
                columns=names,
                wide=0.6,
            )
        )
    blocks += referral_blocks(r)
    return section("decisions", *blocks, *absent(r, "decisions", "three_way", "ish_referral"))


def _risk_grid(r: RunReport) -> Grid:
    shown, notes = [], Notes(())
    at = [u for u in UNITS if len(r.table("risk_coverage", u))]
    for share in _COVERAGES:
        cells = []
        for unit in at:
            risk = r.table("risk_coverage", unit).query("metric == 'risk'")
            row = risk[risk["coverage"] >= share - 1e-9].iloc[0].to_dict()
            cells.append(f"{cell(row, notes)} of {units(unit, int(row['n']))}")
        shown.append((f"most confident {100 * share:.0f} %", *cells))
    areas = [r.table("risk_coverage", u).query("metric == 'aurc'").iloc[0].to_dict() for u in at]
    shown.append(("area under the curve (AURC)", *(cell(a, notes) for a in areas)))
    return Grid(
        "Risk (error rate among answered cases)",
        ("Coverage", *(f"by {u}" for u in at)),
        tuple(shown),
        (1.2, *(1.4 for _ in at)),
        tuple(range(1, len(at) + 1)),
        notes.lines,
    )


def _coverage_grid(table: pd.DataFrame, unit: str) -> Grid:
    rows = []
    for row in table.to_dict("records"):
        n = int(row["n"])
        shares = [figure(row.get(c, float("nan"))) for c in _SET_COLUMNS]
        rows.append((row["class"] or "all", *shares, f"{n:,}" if n else NONE))
    head = (
        "True class",
        "Nominal",
        "Coverage",
        "Patients weighing the same",
        "Mean size",
        "One class",
        "Empty",
        "Rows",
    )
    return Grid(
        f"Prediction sets of the test {units(unit, 2).split()[1]}",
        head,
        tuple(rows),
        (1.4, *(1.0 for _ in head[1:])),
        tuple(range(1, len(head))),
        tuple(dict.fromkeys(n for n in table["note"] if n)),
    )


def _at(table: pd.DataFrame, unit: str) -> pd.DataFrame:
    return table[table["unit"] == unit]


def absent(r: RunReport, *tables: str) -> list[Block]:
    """A sentence for everything of these tables that could not be computed.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> absent(example_report(), "referral")[0].text[:36]
    'Not available. by patch; by patient:'
    """
    here = r.missing[r.missing["table"].isin(tables)]
    if here.empty:
        return []
    grouped: dict[str, list[str]] = {}
    for row in here.itertuples():
        what = f"{row.what}, by {row.unit}" if row.what else f"by {row.unit}"
        grouped.setdefault(row.reason, []).append(
            f"{what} ({row.table.replace('_', ' ')})" if len(tables) > 1 else what
        )
    lines = [
        f"{'; '.join(what[:6])}{f' and {len(what) - 6} more' if len(what) > 6 else ''}: {reason}"
        for reason, what in grouped.items()
    ]
    return [Words(f"Not available. {s}", "muted") for s in lines]
