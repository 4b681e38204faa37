"""Subgroup analysis: metrics by site, scanner, age group, race, ethnicity or any other column.

A group of fewer than ``MIN_PATIENTS`` patients is named with its number and gets no figure: a rate of so few says next
to nothing, and may point at a person (our choice; statistical offices suppress counts of similar size). Fewer than
``FEW_PATIENTS`` are marked as unreliable. Differences between groups are in ``group_differences``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.arguments import check_predictions
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.registry import METRICS as REGISTRY
from her2core.evidence.metrics.registry import headline_metrics
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions

METRICS = (*(m.name for m in headline_metrics()), "recall", "specificity")
#: Means over the classes with cases: of groups that lack different classes they cannot be compared.
OVER_CLASSES = frozenset(name for name, m in REGISTRY.items() if m.of_class)
#: Patients below which the metrics of a group are marked as unreliable.
FEW_PATIENTS = 10
#: Patients below which a group is named and not estimated.
MIN_PATIENTS = 5
#: Group of a patient whose patches differ in the column.
SEVERAL = "several"
#: A column of more groups than this holds ids.
MAX_GROUPS = 50


def subgroup_table(
    predictions: Predictions, *, by: str = "site", metrics: Iterable[str | Metric] = METRICS
) -> pd.DataFrame:
    """Compute metrics in each group of a column, with intervals that resample the patients of the group.

    Parameters
    ----------
    predictions : Predictions
    by : str
        Column of ``predictions.frame``.
    metrics : iterable of str or Metric
        As for ``metric_table``.

    Returns
    -------
    DataFrame
        Columns of ``metric_table`` after ``by`` and ``group`` (the cell's text, ``unknown`` where it is empty), and
        ``patients`` (Int64; NA where patients are unknown): groups in the order of their names, n their rows.
        lower_simultaneous and upper_simultaneous hold together for all groups of the column that have figures, metric
        by metric (Bonferroni). Every row of a group notes when it has fewer than ``FEW_PATIENTS`` patients, which
        classes it lacks (its balanced accuracy is then over fewer classes and not comparable with another group's), or
        that its group is unknown. Below ``MIN_PATIENTS`` its values are NaN. That one interval excludes another's value
        is no test of a difference: see ``group_differences``.

    Raises
    ------
    EvaluationError
        When there is no row or no such column, where all its cells are unknown, or where it has more than
        ``MAX_GROUPS`` groups.
    ConfigError
        For an unknown metric.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2], "site": list("xyxy")})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> subgroup_table(p, by="site", metrics=["accuracy"])[["group", "value", "n"]]
      group  value  n
    0     x    1.0  2
    1     y    0.5  2
    """
    check_predictions(predictions, "subgroups")
    groups = groups_of(predictions, by)
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
    chosen, tables = tuple(metrics), []
    parts = {name: predictions.where(groups == name) for name in names}
    few = {name for name, part in parts.items() if part.patients_known and len(part.patients[1]) < MIN_PATIENTS}
    for name, part in parts.items():
        table = metric_table(part, metrics=chosen, simultaneous=max(1, len(names) - len(few)))
        patients = len(part.patients[1]) if part.patients_known else pd.NA
        if name in few:
            bounds = [c for c in table if c.startswith(("lower_", "upper_"))]
            table = table.assign(**dict.fromkeys(("value", *bounds), float("nan")), interval_method="")
            table["note"] = join_notes(f"{by} is unknown" if name == UNKNOWN else "", too_few(len(part.patients[1])))
        else:
            warning = _warning(part, by, name)
            table["note"] = [join_notes(warning, note) for note in table["note"]]
        table.insert(0, "by", by)
        table.insert(1, "group", name)
        tables.append(table.assign(patients=pd.array([patients] * len(table), dtype="Int64")))
    return pd.concat(tables, ignore_index=True)


def groups_of(predictions: Predictions, by: str) -> np.ndarray:
    """Group of each row: the text of its cell, ``unknown`` where that is empty.

    Parameters
    ----------
    predictions : Predictions
    by : str
        Column of ``predictions.frame``.

    Returns
    -------
    ndarray of object, shape (N,)

    Raises
    ------
    EvaluationError
        When there is no such column.
    """
    frame = predictions.frame
    if by not in frame:
        raise EvaluationError(
            f"a column out of {', '.join(map(str, frame))}",
            got=repr(by)[:80],
            where="subgroups",
            fix=f"Choose one of these, or add a column {str(by)[:40]} to the table of predictions.",
        )
    cells = frame[by]
    words = cells.where(cells.notna(), UNKNOWN).astype("str")
    groups: np.ndarray = words.where(words.str.strip() != "", UNKNOWN).to_numpy(dtype=object)
    return groups


def other_classes(first: Predictions, second: Predictions) -> str:
    """Why means over the classes of two groups cannot be compared: they are over other classes.

    Parameters
    ----------
    first, second : Predictions

    Returns
    -------
    str
        Empty where both have cases of the same classes.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": list("abb"), "predicted": list("abb")})
    >>> p = Predictions.from_frame(frame)
    >>> other_classes(p, p.where(p.labels == 1))
    'over other classes: no patch is truly a in one of the two'
    """
    absent = [c for c in first.classes if (c in first.absent_classes) != (c in second.absent_classes)]
    return f"over other classes: no {first.unit} is truly {' or '.join(absent)} in one of the two" if absent else ""


def too_few(patients: int) -> str:
    """Why a group is named and not estimated.

    Parameters
    ----------
    patients : int

    Returns
    -------
    str

    Examples
    --------
    >>> too_few(1)
    'only 1 patient: too few to estimate (fewer than 5, our choice)'
    """
    plural = "s" if patients != 1 else ""
    return f"only {patients} patient{plural}: too few to estimate (fewer than {MIN_PATIENTS}, our choice)"


def _warning(part: Predictions, by: str, name: str) -> str:
    notes = [f"{by} is unknown"] if name == UNKNOWN else []
    if part.patients_known and len(part.patients[1]) < FEW_PATIENTS:
        count = len(part.patients[1])
        notes.append(f"only {count} patient{'s' if count != 1 else ''}: too few for a reliable estimate")
    if lacking := part.absent_classes:
        notes.append(f"no {part.unit} is truly {' or '.join(lacking)}: balanced accuracy is over the other classes")
    return join_notes(*notes)
