"""Three-way decisions, ISH tests saved and predictive values in the run report."""

from __future__ import annotations

import pandas as pd

from her2core.evidence.ish_referral import ISH_LABELS
from her2core.evidence.prevalence import PREVALENCE_LABELS
from her2core.evidence.result_tables import UNITS
from her2core.report.document import Block, Words
from her2core.report.run_report import PREVALENCE, RunReport
from her2core.report.run_tables import pivot

_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)
_STRATEGIES = ("model, three-way", "model, two-way", "test every case", "all positive")


def referral_blocks(r: RunReport) -> list[Block]:
    """Tables of three-way decisions, ISH tests saved, and predictive values at a stated prevalence.

    Parameters
    ----------
    r : RunReport

    Returns
    -------
    list of Block

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> [block.caption[:17] for block in referral_blocks(example_report()) if hasattr(block, "caption")][:2]
    ['Net benefit of th', 'Net benefit of th']
    """
    blocks: list[Block] = []
    for unit in UNITS:
        blocks += _three_way(r.table("three_way", unit), unit)
    for unit in UNITS:
        blocks += _ish(r.table("ish_referral", unit), unit)
    for unit in UNITS:
        if unit in r.predictive:
            blocks += _predictive_values(r, unit)
    return blocks


def _three_way(table: pd.DataFrame, unit: str) -> list[Block]:
    if table.empty:
        return []
    harms = sorted(table["harm"].unique())
    harm = harms[len(harms) // 2]
    near = table[(table["harm"] == harm) & table["threshold"].round(6).isin(_THRESHOLDS)]
    near = near.assign(step=near["threshold"].map("{:.2f}".format))
    return [
        pivot(
            near,
            caption=f"Net benefit of three-way decisions by {unit}; harm of an ISH test {100 * harm:.0f} % of the "
            "benefit of treating a positive case",
            head="Threshold",
            down="step",
            across="strategy",
            order=[f"{t:.2f}" for t in _THRESHOLDS],
            columns=[(s, s) for s in _STRATEGIES],
            wide=0.6,
        )
    ]


def _ish(table: pd.DataFrame, unit: str) -> list[Block]:
    if table.empty:
        return []
    at = float(table["prevalence"].iloc[0])
    return [
        pivot(
            table,
            caption=f"ISH tests saved against positives missed by {unit}, at the prevalence of the test part "
            f"({100 * at:.1f} %)",
            head="Policy",
            down="policy",
            across="metric",
            order=list(dict.fromkeys(table["policy"])),
            columns=[(m, label) for m, label in ISH_LABELS.items() if m != "ish_tests"],
            wide=1.1,
        )
    ]


def _predictive_values(r: RunReport, unit: str) -> list[Block]:
    table = r.predictive[unit]
    names = {"ppv": f"PPV at {PREVALENCE:.0%}", "npv": f"NPV at {PREVALENCE:.0%}"}
    return [
        pivot(
            table,
            caption=f"Predictive values of each class against the rest by {unit}, at a prevalence of {PREVALENCE:.0%} "
            "(our choice) and in this test part",
            head="Class",
            down="class",
            across="metric",
            order=r.classes,
            columns=[(m, names.get(m, x)) for m, x in PREVALENCE_LABELS.items() if m in (*names, "ppv_observed")],
            wide=1.0,
        ),
        Words("By Bayes' rule, each class in turn at the stated prevalence.", "muted"),
    ]
