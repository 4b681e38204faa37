"""Which runs may stand in one table, and what do they say? Finished runs in; tables of figures and costs out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.loaders import run_names, tables, test_part, try_open
from dashboard.parts import interval
from her2core.errors import Her2Error
from her2core.evidence.compare import compare_many, compare_runs, why_incomparable
from her2core.runs.folder import Run

HEADLINE = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_auroc": "AUROC, mean"}


def comparable_runs(run: Run) -> tuple[list[Run], list[dict]]:
    """The run and those tested on the same patches; and a row with the reason for each of the others."""
    same, others = [run], []
    mine, _ = test_part(run)
    for name, path in run_names()[0].items():
        other, why_not = try_open(path)
        if other is not None and other.path.resolve() == run.path.resolve():
            continue
        if other is not None:
            try:
                why_not = why_incomparable(mine, test_part(other)[0])
            except Her2Error as broken:
                why_not = str(broken)
        if why_not:
            others.append({"run": name, "why not": why_not})
        else:
            same.append(other)
    return same, others


def comparison(runs: list[Run], unit: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a run: as text with intervals, for reading; and as plain numbers."""
    shown, plain = [], []
    for run in runs:
        metrics = tables(run)["metrics"]
        at_unit = metrics[metrics["unit"] == unit]
        cost = run.cost or {}
        numbers = {
            "parameters": cost.get("parameters", run.info.get("parameters")),
            "flops": cost.get("flops"),
            "latency_ratio": cost.get("latency_ratio"),
            "latency_ms": cost.get("latency_ms"),
        }
        row, text = {"run": run.name, "network": run.card["network"]["name"]}, {}
        for metric, name in HEADLINE.items():
            found = at_unit[at_unit["metric"] == metric]
            if found.empty:
                text[name] = "not assessed"
                continue
            text[name] = interval(found.iloc[0])
            row |= {
                metric: found["value"].iloc[0],
                f"{metric}_low": found["lower_95"].iloc[0],
                f"{metric}_high": found["upper_95"].iloc[0],
            }
        for name in run.classes:
            found = at_unit[(at_unit["metric"] == "recall") & (at_unit["class"] == name)]
            if not found.empty:
                text[f"recall {name}"] = interval(found.iloc[0])
                row[f"recall_{name}"] = found["value"].iloc[0]
        plain.append(row | numbers)
        shown.append({"run": run.name, "network": run.card["network"]["name"], **text} | _readable(numbers))
    return pd.DataFrame(shown), pd.DataFrame(plain)


def _readable(numbers: dict) -> dict[str, str]:
    parameters, flops, ratio, ms = (numbers[k] for k in ("parameters", "flops", "latency_ratio", "latency_ms"))
    return {
        "parameters": f"{parameters / 1e6:.1f} M" if parameters else "not measured",
        "FLOPs a patch": f"{flops / 1e9:.2f} G" if flops else "not measured",
        "latency (ResNet50 = 1)": f"{ratio:.2f} ({ms:.0f} ms)" if ratio and ms else "not measured",
    }


@st.cache_data(max_entries=16, show_spinner="Resampling patients ...")
def _differences(first: str, second: str, unit: str, changed: tuple[float, float]) -> tuple[pd.DataFrame, str]:
    found = compare_runs(first, second, unit=unit)
    return found.table, found.note


def difference_table(first: Run, second: Run, unit: str) -> tuple[pd.DataFrame, str]:
    """Paired differences of two runs by this unit, second less first, and what was resampled."""
    return _differences(str(first.path), str(second.path), unit, (test_part(first)[1], test_part(second)[1]))


@st.cache_data(max_entries=8, show_spinner="Comparing all runs ...")
def _corrected(reference: str, others: tuple[str, ...], unit: str, changed: tuple[float, ...]) -> pd.DataFrame:
    return compare_many(reference, others, unit=unit)


def corrected_table(reference: Run, others: list[Run], unit: str) -> pd.DataFrame:
    """Balanced accuracy of each run against the reference, corrected for their number (Holm 1979)."""
    changed = tuple(test_part(r)[1] for r in (reference, *others))
    return _corrected(str(reference.path), tuple(str(r.path) for r in others), unit, changed)
