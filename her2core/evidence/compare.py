"""Is one network better than another? Two runs on the same test patches in; paired differences with intervals out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.intervals import auroc_draws, effective_clusters, interval_row
from her2core.evidence.old_metrics import OVERALL, confusion, from_confusion
from her2core.evidence.paired_tests import bootstrap_p, delong, holm, mcnemar
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import Clusters, clusters, left_out_counts, resampled_counts
from her2core.runs.folder import Run, open_run

NO_DIFFERENCE = "no difference can be shown"
#: Per-class metrics that are compared, beside those over all classes.
PER_CLASS = ("recall", "one_vs_rest_accuracy", "precision", "specificity")
#: How sure a statement must be.
ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """``table``: one row a metric (and class) with the two values, their difference (second minus first), its interval,
    ``p`` of the paired bootstrap, ``exact_p`` and ``exact_test`` (McNemar or DeLong) where rows are patients, and a
    plain ``statement``. ``unit``: what was counted. ``note`` says what was resampled."""

    first: str
    second: str
    table: pd.DataFrame
    note: str
    unit: str = "patch"


def compare_runs(
    first: Run | str | os.PathLike,
    second: Run | str | os.PathLike,
    *,
    unit: str = "patch",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Paired bootstrap over patients of every metric of the two runs, by patch, slide or patient (mean probability).

    Both runs are resampled by the same patients, so that what is hard for both cancels. Raises EvaluationError when
    the runs were not tested on the same patches with the same labels and classes, or cannot be judged by this unit.
    """
    runs = [r if isinstance(r, Run) else open_run(r) for r in (first, second)]
    a, b = (run.test_predictions() for run in runs)
    _refuse_incomparable(a, b, runs)
    order = {p: i for i, p in enumerate(b.frame["patch_id"])}
    b = b.where(np.array([order[p] for p in a.frame["patch_id"]]))
    if unit != "patch":
        a, b = (aggregate(p, unit) for p in (a, b))
    group = clusters(a)
    rows = _rows(_draws(a, b, group, resamples=resamples, seed=seed), a.classes, level)
    if group.unit == "patient" and group.count == len(a):  # a row is a patient: rows are independent
        _add_exact(rows, a, b)
    for row in rows:
        row["statement"] = _statement(row["lower_95"], row["upper_95"], runs[0].name, runs[1].name)
    return Comparison(runs[0].name, runs[1].name, pd.DataFrame(rows), group.note or "resamples patients", a.unit)


def compare_many(
    reference: Run | str | os.PathLike,
    others: Sequence[Run | str | os.PathLike],
    *,
    metric: str = "balanced_accuracy",
    of: str = "",
    unit: str = "patch",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Each of several runs against one, by one metric; p of the paired bootstrap corrected over all (Holm 1979).

    One row a run: run, reference, first, second, difference, low, high, p, p_holm, statement (by p_holm). Raises
    EvaluationError as ``compare_runs``, and for a metric or class that is not compared.
    """
    rows = []
    for other in others:
        found = compare_runs(reference, other, unit=unit, resamples=resamples, seed=seed)
        row = found.table[(found.table["metric"] == metric) & (found.table["class"] == of)]
        if row.empty:
            raise EvaluationError(
                "a metric out of " + ", ".join(dict.fromkeys(found.table["metric"])),
                got=f"{metric!r} of {of or 'all classes'}",
                where="comparison of several runs",
                fix="Choose one.",
            )
        keep = row.iloc[0][["first", "second", "difference", "lower_95", "upper_95", "p_value"]]
        rows.append({"run": found.second, "reference": found.first, **keep})
    table = pd.DataFrame(rows)
    table["p_value_holm"] = holm(table["p_value"].to_numpy(np.float64))
    table["statement"] = [
        NO_DIFFERENCE if not row.p_value_holm < ALPHA else _better(row.difference, row.reference, row.run)
        for row in table.itertuples()
    ]
    return table


def _draws(
    a: Predictions, b: Predictions, group: Clusters, *, resamples: int, seed: int
) -> dict[tuple[str, int | None], tuple]:
    """(metric, class or None) -> value of a, of b, and of b less a: in resamples, float (B,), and with one cluster
    after another left out, float (J,)."""
    k = len(a.classes)
    cells = (a.labels * k + a.predicted) * k + b.predicted  # a row's true class and what each run called it
    counts = resampled_counts(group, cells=cells, kinds=k**3, resamples=resamples, seed=seed).reshape(-1, k, k, k)
    value_a, value_b = (from_confusion(confusion(p.labels, predicted=p.predicted, classes=k)) for p in (a, b))
    left = left_out_counts(group, cells=cells, kinds=k**3).reshape(-1, k, k, k)
    of_a, of_b = ([from_confusion(c.sum(axis=axis)) for c in (counts, left)] for axis in (3, 2))
    found: dict = {}
    for m in (*OVERALL, *PER_CLASS):
        changes = [b[m] - a[m] for a, b in zip(of_a, of_b, strict=True)]
        if m in OVERALL:
            found[m, None] = (value_a[m], value_b[m], *changes)
        else:
            found |= {(m, i): (value_a[m][i], value_b[m][i], *(c[:, i] for c in changes)) for i in range(k)}
    (area_a, *areas_a), (area_b, *areas_b) = (auroc_draws(p, group, resamples=resamples, seed=seed) for p in (a, b))
    changes = [b - a for a, b in zip(areas_a, areas_b, strict=True)]
    found["macro_auroc", None] = (area_a.mean(), area_b.mean(), *(c.mean(axis=1) for c in changes))
    return found | {("auroc", i): (area_a[i], area_b[i], *(c[:, i] for c in changes)) for i in range(k)}


def _rows(found: dict, classes: tuple[str, ...], level: float) -> list[dict]:
    rows = []
    for (metric, i), (value_a, value_b, drawn, left) in found.items():
        difference = float(value_b - value_a)
        interval = interval_row(metric, "" if i is None else classes[i], difference, drawn, level, left)
        known = np.isfinite(interval["lower_95"])
        rows.append(
            {
                "metric": metric,
                "class": interval["class"],
                "first": float(value_a),
                "second": float(value_b),
                "difference": difference,
                "lower_95": interval["lower_95"],
                "upper_95": interval["upper_95"],
                "p_value": bootstrap_p(drawn, patients=effective_clusters(difference, left)) if known else np.nan,
                "exact_p_value": np.nan,
                "exact_test": "",
            }
        )
    return rows


def _add_exact(rows: list[dict], a: Predictions, b: Predictions) -> None:
    for row in rows:
        if row["metric"] == "accuracy":
            row["exact_p_value"], row["exact_test"] = (
                mcnemar(a.predicted == a.labels, b.predicted == b.labels),
                "McNemar",
            )
        elif row["metric"] == "auroc":
            i = a.classes.index(row["class"])
            row["exact_p_value"] = delong(a.labels == i, first=a.probs[:, i], second=b.probs[:, i])[1]
            row["exact_test"] = "DeLong"


def why_incomparable(a: Predictions, b: Predictions) -> str:
    """Why two runs' test parts must not stand in one table: other classes, patches or labels. Empty when they may."""
    if a.classes != b.classes:
        return f"other classes: {', '.join(a.classes)} against {', '.join(b.classes)}"
    ids = set(a.frame["patch_id"]), set(b.frame["patch_id"])
    if ids[0] != ids[1]:
        return f"other test patches: {len(a)} and {len(b)}, of which {len(ids[0] & ids[1])} are shared"
    pairs = pd.Series(a.labels, a.frame["patch_id"]) - pd.Series(b.labels, b.frame["patch_id"])
    if (pairs != 0).any():
        return f"other labels: {int((pairs != 0).sum())} patches with different true classes"
    return ""


def _refuse_incomparable(a: Predictions, b: Predictions, runs: list[Run]) -> None:
    if reason := why_incomparable(a, b):
        raise EvaluationError(
            "two runs tested on the same patches",
            got=reason,
            where=f"{runs[0].name} against {runs[1].name}",
            fix="Compare runs of the same data and split.",
        )


def _statement(low: float, high: float, first: str, second: str) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return "cannot be compared: no interval"
    return NO_DIFFERENCE if low <= 0 <= high else _better(low, first, second)


def _better(difference: float, first: str, second: str) -> str:
    return f"{second if difference > 0 else first} is better"
