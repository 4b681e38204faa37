"""Section on decisions in the run report: net benefit, three-way decisions, ISH tests saved and predictive values."""

from __future__ import annotations

from her2core.evidence.ish_referral import ISH_LABELS
from her2core.evidence.prevalence import PREVALENCE_LABELS
from her2core.evidence.result_tables import UNITS
from her2core.report.document import Block, Row, Section, Words
from her2core.report.figures import decision_chart
from her2core.report.run_report import PREVALENCE, RunReport
from her2core.report.run_tables import at_thresholds, pivot
from her2core.report.sections import absent, section, text, where

_THRESHOLDS, _THREE_WAY = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.2, 0.3, 0.5)
_STRATEGIES = ("model", "treat all", "model minus treat all")
_THREE_WAY_STRATEGIES = ("model, three-way", "model, two-way", "test every case", "all positive")


def decisions(r: RunReport) -> Section:
    """Net benefit of the network, compared with treating all or none as positive, and tables of decisions.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> decisions(example_report()).title
    'Decision curve'
    """
    blocks: list[Block] = []
    if tables := r.by_unit("decisions"):
        blocks.append(Words(text("decisions", "net_benefit", calibration=where("calibration"))))
        blocks.append(Row(tuple(decision_chart(table, unit) for unit, table in tables.items())))
    names = {"model minus treat all": "model minus treat all, difference"}
    for unit, table in tables.items():
        near = at_thresholds(table, _THRESHOLDS)
        caption = f"Net benefit of class {table['class'].iloc[0]} by {unit} (none positive: 0)"
        blocks.append(pivot(near, caption, down="step", across="strategy", columns=_STRATEGIES, names=names))
    blocks += [*_three_way(r), *_ish_tests(r), *_predictive_values(r)]
    return section("decisions", *blocks, *absent(r, "decisions", "three_way", "ish_referral"))


def _three_way(r: RunReport) -> list[Block]:
    blocks: list[Block] = []
    for unit, table in r.by_unit("three_way").items():
        harms = sorted(table["harm"].unique())
        harm = harms[len(harms) // 2]
        near = at_thresholds(table[table["harm"] == harm], _THREE_WAY)
        caption = (
            f"Net benefit of three-way decisions by {unit}; harm of an ISH test {100 * harm:.0f} % of the benefit of "
            "treating a positive case"
        )
        blocks.append(pivot(near, caption, down="step", across="strategy", columns=_THREE_WAY_STRATEGIES))
    return blocks


def _ish_tests(r: RunReport) -> list[Block]:
    blocks: list[Block] = []
    columns = [metric for metric in ISH_LABELS if metric != "ish_tests"]
    for unit, table in r.by_unit("ish_referral").items():
        at = f"at the prevalence of the test part ({100 * table['prevalence'].iloc[0]:.1f} %)"
        caption = f"ISH tests saved against positives missed by {unit}, {at}"
        blocks.append(pivot(table, caption, down="policy", across="metric", columns=columns, names=ISH_LABELS))
    return blocks


def _predictive_values(r: RunReport) -> list[Block]:
    blocks: list[Block] = []
    names = {**PREVALENCE_LABELS, "ppv": f"PPV at {PREVALENCE:.0%}", "npv": f"NPV at {PREVALENCE:.0%}"}
    columns = [metric for metric in PREVALENCE_LABELS if metric in ("ppv", "npv", "ppv_observed")]
    for unit in (unit for unit in UNITS if unit in r.predictive):
        caption = (
            f"Predictive values of each class against the rest by {unit}, at a prevalence of {PREVALENCE:.0%} (our "
            "choice) and in this test part"
        )
        table = r.predictive[unit]
        blocks += [
            pivot(table, caption, down="class", across="metric", order=r.classes, columns=columns, names=names),
            Words(text("decisions", "predictive_values"), "muted"),
        ]
    return blocks
