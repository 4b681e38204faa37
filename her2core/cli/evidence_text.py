"""An evaluation as lines of text: warnings first, then what is not available and why, then figures with intervals."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from her2core.cli.text import RESEARCH
from her2core.evidence.evaluation import Evaluation
from her2core.evidence.metrics.registry import metrics_of

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
            rows.append({"unit": unit, "metrics": [_name(row) for _, row in group.iterrows()], "reason": str(reason)})
        absent = [m.name for m in metrics_of("metrics") if m.needs_scores and m.name not in set(metrics["metric"])]
        if absent and not metrics["metric"].isin([m.name for m in metrics_of("metrics") if m.needs_scores]).any():
            rows.append({"unit": unit, "metrics": absent, "reason": NO_SCORES})
    return rows


def evidence_text(found: Evaluation) -> str:
    """An evaluation as text.

    Parameters
    ----------
    found : Evaluation
        The tables.

    Returns
    -------
    str
        Lines: warnings, notes, units that could not be assessed, figures by unit.
    """
    lines = [f"warning: {w}" for w in found.warnings] + [f"note: {n}" for n in found.notes]
    lines += [f"{u.unit}: not available. {u.reason}" for u in found.units.itertuples() if not u.assessed]
    lines += [f"{u.unit}: aggregated by {u.rule_reason}" for u in found.units.itertuples() if u.rule]
    missing = not_available(found)
    for unit, metrics in found.metrics.groupby("unit", sort=False):
        common = _common_note(metrics)
        if common:
            lines.append(f"{unit}: {common}")
        for _, row in metrics[metrics["value"].notna()].iterrows():
            bounds = f"[{row['lower_95']:.3f}, {row['upper_95']:.3f}]" if not math.isnan(row["lower_95"]) else "[none]"
            note = _without(row["note"], common)
            lines.append(f"{unit:8}{_name(row):44}{row['value']:.3f}  {bounds}  {note}".rstrip())
        lines += [
            f"{unit:8}not available: {', '.join(entry['metrics'])} because {entry['reason']}"
            for entry in missing
            if entry["unit"] == unit
        ]
    return "\n".join([*lines, RESEARCH])


def _name(row: pd.Series) -> str:
    return f"{row['metric']} of {row['class']}" if row["class"] else str(row["metric"])


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
