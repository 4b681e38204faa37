"""External validation: a model's figures on another cohort beside those on its own test part."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.registry import headline_metrics, metric_label
from her2core.evidence.mover import Estimate, difference
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.statements import PRIMARY_METRIC
from her2core.evidence.subgroups import OVER_CLASSES, other_classes

METRICS = (*(m.name for m in headline_metrics()), "auroc", "recall", "specificity")
UNITS = ("patch", "patient")
_BOUNDS = ("value", "lower_95", "upper_95")
COLUMNS = (
    *("unit", "metric", "class", "development", "development_lower_95", "development_upper_95"),
    *("external", "external_lower_95", "external_upper_95", "difference", "lower_95", "upper_95"),
    *("n_development", "n_external", "note"),
)


def external_table(
    development: Predictions, external: Predictions, *, metrics: Iterable[str | Metric] = METRICS, no_order: str = ""
) -> pd.DataFrame:
    """Compare the figures of one model on two cohorts that share no patient.

    Parameters
    ----------
    development : Predictions
        Patches of the model's own test part.
    external : Predictions
        Patches of the other cohort.
    metrics : iterable of str or Metric
        As for ``metric_table``.
    no_order : str
        As for ``metric_table``.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``: by patch, and by patient where both can be aggregated (mean of the probabilities). The
        difference is external less development, with MOVER's interval for independent estimates; none where one of the
        two has none, or where a mean over classes is over other classes in one of them. ``n_...`` are patients where
        known, otherwise rows.

    Raises
    ------
    EvaluationError
        When one has no row, or their classes differ.

    References
    ----------
    Zou & Donner 2008, doi 10.1002/sim.3095.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb") * 5, "probability_a": [0.9, 0.4, 0.3, 0.2] * 5})
    >>> own = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> other = read_predictions(frame.assign(probability_b=frame["probability_a"], probability_a=own.probs[:, 1]))
    >>> external_table(own, other, metrics=["accuracy"])[["development", "external", "difference"]].round(2)
       development  external  difference
    0         0.75      0.25        -0.5
    """
    if development.classes != external.classes:
        raise EvaluationError(
            "two cohorts of the same classes", got="others", where="external validation", fix="Use the run's classes."
        )
    tables = []
    for unit in UNITS:
        try:
            pair = [p if unit == "patch" else aggregate(p, unit) for p in (development, external)]
        except EvaluationError:
            if unit == "patch":
                raise
            continue  # patients unknown, or with several labels: ``units`` of the evaluation has the reason
        own, other = (metric_table(p, metrics=metrics, no_order=no_order) for p in pair)
        tables.append(_joined(own, other, other_classes(*pair)))
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


def external_statement(table: pd.DataFrame, *, unit: str) -> str:
    """What the primary metric says at one unit; all other differences are descriptive.

    Parameters
    ----------
    table : DataFrame
        From ``external_table``.
    unit : str

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> row = dict.fromkeys(COLUMNS, 0.5) | {"unit": "patch", "metric": "balanced_accuracy", "external": 0.3}
    >>> row |= {"difference": -0.2, "lower_95": -0.3, "upper_95": -0.1}
    >>> external_statement(pd.DataFrame([row]), unit="patch")
    'Balanced accuracy by patch is lower than in development: 0.30 against 0.50 (difference -0.20 [-0.30, -0.10]).'
    """
    label = f"{metric_label(PRIMARY_METRIC)} by {unit}"
    rows = table[(table["unit"] == unit) & (table["metric"] == PRIMARY_METRIC)]
    if rows.empty or pd.isna(rows["lower_95"].iloc[0]):
        why = "" if rows.empty else str(rows["note"].iloc[0])
        reason = why if why.startswith("over other classes") else "there is no interval"
        return f"{label} cannot be compared with development: {reason}."
    row = rows.iloc[0]
    low, high = row["lower_95"], row["upper_95"]
    said = "is lower than" if high < 0 else "is higher than" if low > 0 else "cannot be shown to differ from that"
    return (
        f"{label} {said} in development: {row['external']:.2f} against {row['development']:.2f} "
        f"(difference {row['difference']:+.2f} [{low:+.2f}, {high:+.2f}])."
    )


def _joined(own: pd.DataFrame, other: pd.DataFrame, unlike: str) -> pd.DataFrame:
    key = ["unit", "metric", "class"]
    both = own.merge(other, on=key, suffixes=("_own", "_other"))
    rows = []
    for row in both.to_dict("records"):
        first, second = (Estimate(*(float(row[f"{name}_{of}"]) for name in _BOUNDS)) for of in ("own", "other"))
        over_others = unlike if row["metric"] in OVER_CLASSES else ""
        change = Estimate(np.nan, np.nan, np.nan) if over_others else difference(second, first)
        notes = [f"{of}: {row[f'note_{end}']}" for of, end in _ENDS if isinstance(row[f"note_{end}"], str)]
        rows.append(
            {name: row[name] for name in key}
            | dict(zip(COLUMNS[3:12], (*first, *second, *change), strict=True))
            | {"n_development": row["n_clusters_own"], "n_external": row["n_clusters_other"]}
            | {"note": join_notes(over_others, *(note for note in notes if not note.endswith(": ")))}
        )
    return pd.DataFrame(rows)


_ENDS = (("development", "own"), ("external", "other"))
