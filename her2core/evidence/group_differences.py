"""Differences between groups of patients in sensitivity, specificity and balanced accuracy, corrected for multiplicity.

Every group of a column is compared with its largest group. All comparisons of one column at one unit are one family:
their intervals hold together at 95 % (Bonferroni), and only one that excludes zero is said to show a difference. Groups
are of different patients, so that the interval of a difference follows from those of its two groups (Newcombe's method
10, with the jackknife intervals of this project where patches are clustered in patients).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.metric_table import metric_table
from her2core.evidence.mover import Estimate, difference
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.subgroups import MIN_PATIENTS, OVER_CLASSES, SEVERAL, groups_of, other_classes, too_few

#: Metrics of a family; the first is over all classes.
METRICS = ("balanced_accuracy", "recall", "specificity")
DIFFERS, NO_DIFFERENCE, NOT_COMPARED = "differs", "no difference can be shown", "not compared"
COLUMNS = (
    *("by", "group", "reference", "unit", "metric", "class", "value", "reference_value"),
    *("difference", "lower_simultaneous", "upper_simultaneous", "comparisons", "statement", "note"),
    *("patients", "reference_patients"),
)


def group_differences(predictions: Predictions, *, by: str) -> pd.DataFrame:
    """Compare every group of a column with its largest group.

    Parameters
    ----------
    predictions : Predictions
        With known patients.
    by : str
        Column of ``predictions.frame``.

    Returns
    -------
    DataFrame
        ``COLUMNS``: one row per group but the largest, metric of ``METRICS`` and class. ``difference`` is group less
        reference; its bounds hold together with those of all ``comparisons`` rows. ``statement`` is "differs", "no
        difference can be shown", or "not compared" with the reason in ``note``, as where one of the two lacks a class
        of a mean over classes. Groups of fewer than ``MIN_PATIENTS`` patients are rows without figures. Rows whose
        group is unknown, or of patients in several groups, are left out.

    Raises
    ------
    EvaluationError
        Where patients are unknown, or fewer than two groups have ``MIN_PATIENTS`` patients.

    References
    ----------
    Newcombe 1998, Statistics in Medicine 17:873 (method 10); Zou & Donner 2008, doi 10.1002/sim.3095; Bonferroni's
    inequality: Dunn 1961, doi 10.1080/01621459.1961.10482090.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(40)], "label": list("ab") * 20})
    >>> frame["predicted"] = frame["label"].where(frame.index >= 4, "a")
    >>> frame["site"] = ["x"] * 16 + ["y"] * 24
    >>> found = group_differences(read_predictions(frame), by="site")
    >>> found.loc[found["metric"] == "balanced_accuracy", ["group", "reference", "difference"]].values.tolist()
    [['x', 'y', -0.125]]
    >>> set(found["statement"])
    {'no difference can be shown'}
    """
    if not predictions.patients_known:
        raise EvaluationError(
            "known patients",
            got="rows without",
            where="differences between groups",
            fix="Rows of one patient are not independent: add the patient ids.",
        )
    groups = groups_of(predictions, by)
    codes = predictions.patients[0]
    patients = {str(g): set(codes[groups == g].tolist()) for g in np.unique(groups) if g not in (UNKNOWN, SEVERAL)}
    sizes = {g: len(of) for g, of in patients.items()}
    enough = [g for g, n in sizes.items() if n >= MIN_PATIENTS]
    if len(enough) < 2:
        listed = ", ".join(f"{g} {n}" for g, n in sizes.items())
        raise EvaluationError(
            f"two groups of at least {MIN_PATIENTS} patients",
            got=(listed or "no known group")[:200],
            where=f"differences by {by}",
            fix="Test more patients of each group.",
        )
    shared = [pair for pair in combinations(enough, 2) if patients[pair[0]] & patients[pair[1]]]
    if shared:
        raise EvaluationError(
            "groups of different patients",
            got=f"patients in {shared[0][0]} and in {shared[0][1]}",
            where=f"differences by {by}",
            fix="Compare them by patient.",
        )
    largest = max(enough, key=lambda g: (sizes[g], -enough.index(g)))
    others = [g for g in sizes if g != largest]
    comparisons = sum(g in enough for g in others) * (1 + len(predictions.classes) * (len(METRICS) - 1))
    parts = {g: predictions.where(groups == g) for g in enough}
    tables = {g: metric_table(part, metrics=METRICS, simultaneous=comparisons) for g, part in parts.items()}
    rows = []
    for group in others:
        for place, base in tables[largest].iterrows():
            row: dict[str, object] = {"by": by, "group": group, "reference": largest, "unit": predictions.unit}
            row |= {"metric": base["metric"], "class": base["class"], "reference_value": base["value"]}
            own = tables[group].loc[place] if group in tables else None
            row |= {**_compared(own, base, sizes[group]), "comparisons": comparisons}
            if own is not None and base["metric"] in OVER_CLASSES:
                row |= _unlike(parts[group], parts[largest])
            rows.append(row)
    frame = pd.DataFrame(rows).assign(reference_patients=sizes[largest])
    return frame.assign(patients=frame["group"].map(sizes))[list(COLUMNS)]


def _unlike(group: Predictions, reference: Predictions) -> dict[str, object]:
    """What takes the place of a difference between means over other classes; nothing where they are the same."""
    if not (note := other_classes(group, reference)):
        return {}
    bounds = dict.fromkeys(("difference", "lower_simultaneous", "upper_simultaneous"), np.nan)
    return {**bounds, "statement": NOT_COMPARED, "note": note}


def _compared(own: pd.Series | None, base: pd.Series, patients: int) -> dict[str, object]:
    """Value of the group, difference with its bounds, and what they show."""
    row: dict[str, object] = dict.fromkeys(("value", "difference", "lower_simultaneous", "upper_simultaneous"), np.nan)
    if own is None:
        return row | {"statement": NOT_COMPARED, "note": too_few(patients)}
    first, second = (Estimate(s["value"], s["lower_simultaneous"], s["upper_simultaneous"]) for s in (own, base))
    found = difference(first, second)
    low, high = max(-1.0, found.low), min(1.0, found.high)
    row |= {"value": own["value"], "difference": found.value}
    if np.isnan(found.low) or np.isnan(found.high):
        return row | {"statement": NOT_COMPARED, "note": join_notes(*dict.fromkeys((own["note"], base["note"])))}
    statement = NO_DIFFERENCE if low <= 0 <= high else DIFFERS
    row |= {"lower_simultaneous": low, "upper_simultaneous": high, "statement": statement}
    return row | {"note": join_notes(*dict.fromkeys((own["note"], base["note"])))}
