"""An evaluation as lines of text: warnings first, then what is not available and why, then figures with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from her2core.cli.text import figure_name, interval
from her2core.cli.verdict_text import verdict_lines
from her2core.evidence.baselines import BASELINES, METRICS, baseline_sentences
from her2core.evidence.evaluation import Evaluation
from her2core.evidence.metrics.registry import metric_label, metrics_of
from her2core.evidence.planning import EffectiveSample
from her2core.evidence.verdict import Verdict
from her2core.notice import RESEARCH

NO_SCORES = "the table has predicted classes and no scores"


def not_available(found: Evaluation) -> list[dict[str, Any]]:
    """Figures that are not defined, with the reason.

    Parameters
    ----------
    found : Evaluation
        The tables.

    Returns
    -------
    list of dict
        One entry per unit and reason: unit, metrics (with their class) and reason.
    """
    rows: list[dict[str, Any]] = []
    for unit, metrics in found.metrics.groupby("unit", sort=False):
        common = _common_note(metrics)
        undefined = metrics[metrics["value"].isna()]
        reasons = undefined["note"].map(lambda note, common=common: _without(note, common) or "it is undefined")
        for reason, group in undefined.groupby(reasons.to_numpy(), sort=False):
            rows.append(
                {"unit": unit, "metrics": [figure_name(row) for _, row in group.iterrows()], "reason": str(reason)}
            )
        absent = [m.name for m in metrics_of("metrics") if m.needs_scores and m.name not in set(metrics["metric"])]
        if absent and not metrics["metric"].isin([m.name for m in metrics_of("metrics") if m.needs_scores]).any():
            rows.append({"unit": unit, "metrics": absent, "reason": NO_SCORES})
    return rows


def evidence_text(
    found: Evaluation,
    *,
    every: bool = False,
    baselines: pd.DataFrame | None = None,
    further: Sequence[str] = (),
    worth: EffectiveSample | None = None,
    verdict: Verdict | None = None,
) -> str:
    """An evaluation as text.

    Parameters
    ----------
    found : Evaluation
        The tables.
    every : bool, optional
        Write every metric of every class; otherwise the metrics over all classes, and each class's recall.
    further : sequence of str, optional
        Lines that follow the figures.
    baselines : DataFrame, optional
        Baselines of the run; those that it does not beat come first.
    worth : EffectiveSample, optional
        What the patches are worth; stands above their figures where there is no verdict, which says it.
    verdict : Verdict, optional
        Stands first, and says what the warnings and notes say.

    Returns
    -------
    str
        Lines: the verdict, or baselines not beaten, warnings and notes; units that could not be assessed, figures by
        unit; last what was left out.
    """
    units = [u.unit for u in found.units.itertuples() if u.assessed]
    above = [] if baselines is None else [f"warning: {s}" for u in units for s in baseline_sentences(baselines, u)]
    lines = above if verdict is None else verdict_lines(verdict)
    unsaid = [("warning", s) for s in found.warnings] + [("note", s) for s in found.notes]
    lines += [f"{kind}: {s}" for kind, s in unsaid if verdict is None or not verdict.says(s)]
    lines += [f"{u.unit}: not available. {u.reason}" for u in found.units.itertuples() if not u.assessed]
    missing = not_available(found)
    rules = {u.unit: u.rule_reason for u in found.units.itertuples() if u.rule}
    left_out = 0
    for unit, metrics in found.metrics.groupby("unit", sort=False):
        common = _common_note(metrics)
        shown = metrics if every else metrics[metrics["class"].eq("") | metrics["metric"].eq("recall")]
        left_out += int(metrics["value"].notna().sum() - shown["value"].notna().sum())
        lines.append(f"By {unit}" + (f", aggregated by {rules[unit]}" if unit in rules else ""))
        lines += [f"  {common}"] if common else []
        lines += [f"  {worth.sentence}"] if worth is not None and verdict is None and unit == worth.unit else []
        lines += _figures(shown[shown["value"].notna()], common)
        lines += [
            f"  not available: {', '.join(entry['metrics'])} because {entry['reason']}"
            for entry in missing
            if entry["unit"] == unit
        ]
        lines += [] if baselines is None else baseline_lines(baselines[baselines["unit"] == unit])
    if left_out:
        lines.append(f"{left_out} more figures by class: --all")
    return "\n".join([*lines, *further, RESEARCH])


def baseline_lines(rows: pd.DataFrame) -> list[str]:
    """Baselines of one unit as lines of text, in their first metric.

    Parameters
    ----------
    rows : DataFrame
        As ``evidence.baselines.baseline_table`` makes it.

    Returns
    -------
    list of str
    """
    rows = rows[rows["metric"] == METRICS[0]]
    head = [f"  {metric_label(METRICS[0])} of baselines, and the network less the baseline:"] if len(rows) else []
    return head + [
        f"    {BASELINES.get(r.baseline, r.baseline):24}{interval(r.value, r.lower_95, r.upper_95)}; "
        f"{interval(r.difference, r.difference_lower_95, r.difference_upper_95, signed=True)}: {r.statement}"
        for r in rows.itertuples()
    ]


def _figures(rows: pd.DataFrame, common: str) -> list[str]:
    """A line for each figure with an interval; those without one share a line for each reason."""
    lines: list[str] = []
    bare: dict[str, list[str]] = {}
    for _, row in rows.iterrows():
        note = _without(row["note"], common)
        if math.isnan(row["lower_95"]):
            reason = next((part for part in note.split("; ") if part.startswith("no interval")), "no interval")
            bare.setdefault(reason, []).append(f"{figure_name(row)} {row['value']:.3f}")
        else:
            bounds = f"[{row['lower_95']:.3f}, {row['upper_95']:.3f}]"
            lines.append(f"  {figure_name(row):40}{row['value']:.3f}  {bounds}  {note}".rstrip())
    return lines + [f"  {reason}: {', '.join(figures)}" for reason, figures in bare.items()]


def _common_note(metrics: pd.DataFrame) -> str:
    """What the notes of all rows begin with: how intervals were made."""
    notes = [note.split("; ") for note in metrics["note"]]
    common: list[str] = []
    for parts in zip(*notes, strict=False):
        if len(set(parts)) > 1 or not parts[0]:
            break
        common.append(parts[0])
    return "; ".join(common)


def _without(note: str, common: str) -> str:
    return note.removeprefix(common).removeprefix("; ")
