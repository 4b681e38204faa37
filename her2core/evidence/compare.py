"""Is one network better than another? Two runs on the same test patches in; paired differences with intervals out."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.intervals import clusters, draws
from her2core.evidence.metrics import OVERALL, confusion, from_confusion
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.runs.folder import Run, open_run


@dataclass(frozen=True)
class Comparison:
    """``table``: one row a metric with the two values, their difference (second minus first), its interval and a plain
    ``statement``. ``note`` says what was resampled."""

    first: str
    second: str
    table: pd.DataFrame
    note: str


def compare_runs(
    first: Run | str | os.PathLike,
    second: Run | str | os.PathLike,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Paired bootstrap over patients of accuracy, balanced accuracy and macro-F1 at patch level.

    Both runs are resampled by the same patients, so that what is hard for both cancels. Raises EvaluationError when
    the runs were not tested on the same patches with the same labels and classes.
    """
    runs = [r if isinstance(r, Run) else open_run(r) for r in (first, second)]
    a, b = (_test_part(run) for run in runs)
    _refuse_incomparable(a, b, runs)
    order = {p: i for i, p in enumerate(b.frame["patch_id"])}
    b = b.where(np.array([order[p] for p in a.frame["patch_id"]]))
    group = clusters(a)
    weights = draws(group.count, resamples, seed)
    (value_a, draw_a), (value_b, draw_b) = (_metrics(p, group, weights) for p in (a, b))
    rows = []
    for metric in OVERALL:
        difference = draw_b[metric] - draw_a[metric]
        low, high = np.quantile(difference[np.isfinite(difference)], [(1 - level) / 2, (1 + level) / 2])
        rows.append(
            {
                "metric": metric,
                "first": float(value_a[metric]),
                "second": float(value_b[metric]),
                "difference": float(value_b[metric] - value_a[metric]),
                "low": low,
                "high": high,
                "statement": _statement(low, high, runs[0].name, runs[1].name),
            }
        )
    return Comparison(runs[0].name, runs[1].name, pd.DataFrame(rows), group.note or "resamples patients")


def _test_part(run: Run) -> Predictions:
    return read_predictions(run.predictions, classes=run.classes, temperature=run.card["temperature"]).part("test")


def _metrics(p: Predictions, group, weights) -> tuple[dict, dict]:
    k = len(p.classes)
    cells = np.zeros((group.count, k * k))
    np.add.at(cells, (group.codes, p.labels * k + p.predicted), 1)
    whole = from_confusion(confusion(p.labels, predicted=p.predicted, classes=k))
    return whole, from_confusion((weights @ cells).reshape(-1, k, k))


def _refuse_incomparable(a: Predictions, b: Predictions, runs: list[Run]) -> None:
    reason = None
    if a.classes != b.classes:
        reason = f"classes {list(a.classes)} and {list(b.classes)}"
    elif set(a.frame["patch_id"]) != set(b.frame["patch_id"]):
        shared = len(set(a.frame["patch_id"]) & set(b.frame["patch_id"]))
        reason = f"{len(a)} and {len(b)} test patches of which {shared} are shared"
    else:
        pairs = pd.Series(a.labels, a.frame["patch_id"]) - pd.Series(b.labels, b.frame["patch_id"])
        if (pairs != 0).any():
            reason = f"{int((pairs != 0).sum())} patches with different true labels"
    if reason:
        raise EvaluationError(
            expected="two runs tested on the same patches",
            got=reason,
            where=f"{runs[0].name} against {runs[1].name}",
            fix="Compare runs of the same data and split.",
        )


def _statement(low: float, high: float, first: str, second: str) -> str:
    if low > 0:
        return f"{second} is better"
    if high < 0:
        return f"{first} is better"
    return "no difference can be shown"
