"""Is the network as good at every site, on every scanner? Predictions and a column in; metrics by group out."""

from __future__ import annotations

import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.intervals import metric_table
from her2core.evidence.predictions import Predictions, refuse_empty

METRICS = ("accuracy", "balanced_accuracy", "macro_auroc", "recall")
#: Patients below which a group's figures are marked as too few.
FEW_PATIENTS = 10
#: More groups than this are not groups but ids.
MAX_GROUPS = 50


def subgroup_table(
    predictions: Predictions, *, by: str = "site", resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """METRICS in each group of the column ``by`` of ``predictions.frame``, with intervals that resample its patients.

    Returns
    -------
    DataFrame with the columns of ``metric_table`` after ``by``, ``group`` (the cell's text, ``unknown`` where it is
    empty) and ``patients`` (Int64; NA where patients are unknown): groups in the order of their names, n their rows.
    Every row of a group notes when it has fewer than FEW_PATIENTS patients, which classes it lacks (its balanced
    accuracy is then over fewer classes and cannot be set against another group's), or that its group is not known.
    Groups are looked at one by one: that one interval leaves another's value out is no test of a difference.

    Raises EvaluationError when there is no row or no such column, where the column says nothing (all cells unknown),
    or where it has more than MAX_GROUPS groups.
    """
    refuse_empty(predictions, "subgroups")
    frame = predictions.frame
    if by not in frame:
        raise EvaluationError(
            f"a column out of {', '.join(map(str, frame))}",
            got=repr(by)[:80],
            where="subgroups",
            fix=f"Choose one of these, or add a column {str(by)[:40]} to the table of predictions.",
        )
    cells = frame[by]
    groups = cells.where(cells.notna(), UNKNOWN).astype("str").to_numpy(dtype=object)
    names = sorted(set(groups))
    if names == [UNKNOWN]:
        raise EvaluationError(
            f"a {by} in at least one row",
            got="unknown in all",
            where="subgroups",
            fix=f"Fill in the column {by}, or choose another.",
        )
    if len(names) > MAX_GROUPS:
        raise EvaluationError(
            f"at most {MAX_GROUPS} groups",
            got=f"{len(names)} different {by}",
            where="subgroups",
            fix="Choose a column that puts several patients together, such as site or scanner.",
        )
    tables = []
    for name in names:
        part = predictions.where(groups == name)
        table = metric_table(part, resamples=resamples, level=level, seed=seed)
        table = table[table["metric"].isin(METRICS)].reset_index(drop=True)
        patients = len(part.patients[1]) if part.patients_known else pd.NA
        warning = _warning(part, by, name)
        table["note"] = ["; ".join(filter(None, (warning, note))) for note in table["note"]]
        table.insert(0, "by", by)
        table.insert(1, "group", name)
        tables.append(table.assign(patients=pd.array([patients] * len(table), dtype="Int64")))
    return pd.concat(tables, ignore_index=True)


def _warning(part: Predictions, by: str, name: str) -> str:
    said = [f"{by} is not known"] if name == UNKNOWN else []
    if part.patients_known and len(part.patients[1]) < FEW_PATIENTS:
        count = len(part.patients[1])
        said.append(f"only {count} patient{'s' if count != 1 else ''}: too few to judge the group by")
    lacking = [name for i, name in enumerate(part.classes) if not (part.labels == i).any()]
    if lacking:
        said.append(f"no {part.unit} is truly {' or '.join(lacking)}: balanced accuracy is over the other classes")
    return "; ".join(said)
