"""How do the errors trade against each other? Predictions in; ROC and precision-recall points of each class out.

One class against the rest. A patch is called when its probability reaches the threshold, so that every distinct
probability is one point (Fawcett 2006, doi 10.1016/j.patrec.2005.10.010). As scikit-learn's ``roc_curve`` and
``precision_recall_curve``, with one deliberate difference: no point (recall 0, precision 1) is made up, for no
threshold leads there.
"""

from __future__ import annotations

import heapq

import numpy as np
import pandas as pd

from her2core.evidence.predictions import Predictions

#: Points a class beyond which a curve is thinned: more than a screen has room for.
MAX_POINTS = 400
#: How far the area under a thinned curve may be from the exact one.
AREA_TOLERANCE = 5e-4
#: Candidates among which the corners are searched; so fine that what lies between is nothing to the eye.
_CANDIDATES = 20_000


def roc_points(predictions: Predictions, *, max_points: int = MAX_POINTS) -> pd.DataFrame:
    """ROC of each class against the rest: class, threshold, fpr, tpr, auroc; thresholds fall from row to row.

    The first point of a class, (0, 0), has threshold infinity. ``auroc`` is that of all points and the same in every
    row of a class. Curves of more than ``max_points`` points keep their corners: the area under what is left differs
    from ``auroc`` by at most AREA_TOLERANCE. A class of ``curve_reasons`` has no rows.
    """
    tables = []
    for name, steps in _steps(predictions):
        thresholds, hits, alarms = steps
        fpr, tpr = (np.concatenate([[0.0], c / c[-1]]) for c in (alarms, hits))
        kept = _thin(fpr, tpr, max_points)
        columns = {"threshold": np.concatenate([[np.inf], thresholds])[kept], "fpr": fpr[kept], "tpr": tpr[kept]}
        tables.append(pd.DataFrame({"class": name, **columns, "auroc": np.trapezoid(tpr, fpr)}))
    return _together(tables, ("threshold", "fpr", "tpr", "auroc"))


def pr_points(predictions: Predictions, *, max_points: int = MAX_POINTS) -> pd.DataFrame:
    """Precision and recall of each class: class, threshold, recall, precision, average_precision, share_of_cases.

    Thresholds fall from row to row. ``average_precision`` (of all points) and ``share_of_cases`` (what a call by
    chance would reach) are the same in every row of a class. Thinned as ``roc_points``; a class of ``curve_reasons``
    has no rows.
    """
    tables = []
    for name, (thresholds, hits, alarms) in _steps(predictions):
        recall, precision = hits / hits[-1], hits / (hits + alarms)
        kept = _thin(recall, precision, max_points)
        columns = {"threshold": thresholds[kept], "recall": recall[kept], "precision": precision[kept]}
        constant = {"average_precision": _average(recall, precision), "share_of_cases": hits[-1] / len(predictions)}
        tables.append(pd.DataFrame({"class": name, **columns, **constant}))
    return _together(tables, ("threshold", "recall", "precision", "average_precision", "share_of_cases"))


def average_precision(predictions: Predictions) -> pd.DataFrame:
    """One row a class: class, average_precision, share_of_cases, reason.

    The mean of the precision at each threshold, weighted by how much recall it adds, without interpolation, as
    scikit-learn's ``average_precision_score``. NaN with a reason for the classes of ``curve_reasons``.
    """
    found = {name: _average(hits / hits[-1], hits / (hits + alarms)) for name, (_, hits, alarms) in _steps(predictions)}
    reasons = curve_reasons(predictions)
    share = np.bincount(predictions.labels, minlength=len(predictions.classes)) / max(len(predictions), 1)
    return pd.DataFrame(
        {
            "class": list(predictions.classes),
            "average_precision": [found.get(name, np.nan) for name in predictions.classes],
            "share_of_cases": share,
            "reason": [reasons.get(name, "") for name in predictions.classes],
        }
    )


def curve_reasons(predictions: Predictions) -> dict[str, str]:
    """The classes that have no curve, each with the reason; empty when all have one."""
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    unit = predictions.unit
    reasons = {}
    for name, count in zip(predictions.classes, counts, strict=True):
        if not count:
            reasons[name] = f"no {unit} is truly {name}"
        elif count == len(predictions):
            reasons[name] = f"every {unit} is truly {name}: there is nothing to tell it from"
    return reasons


def _steps(predictions: Predictions):
    """For each class that has a curve: its name and (thresholds falling, hits so far, false alarms so far)."""
    without = curve_reasons(predictions)
    for i, name in enumerate(predictions.classes):
        if name in without or not len(predictions):
            continue
        scores = predictions.probs[:, i]
        order = np.argsort(scores)[::-1]
        scores, case = scores[order], (predictions.labels == i)[order]
        last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)  # equal scores fall together
        hits = np.cumsum(case)[last]
        yield name, (scores[last], hits, last + 1 - hits)


def _average(recall: np.ndarray, precision: np.ndarray) -> float:
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _together(tables: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    if tables:
        return pd.concat(tables, ignore_index=True)
    return pd.DataFrame({"class": pd.Series(dtype="str"), **{c: pd.Series(dtype="float64") for c in columns}})


def _thin(x: np.ndarray, y: np.ndarray, at_most: int) -> np.ndarray:
    """Positions, rising, of the points to keep: the ends, then again and again the farthest from the lines so far.

    Ramer (1972, doi 10.1016/S0146-664X(72)80017-0) and Douglas & Peucker (1973), best first. If the area under the
    kept points is still off by more than AREA_TOLERANCE, more points are kept than ``at_most``.
    """
    if len(x) <= at_most:
        return np.arange(len(x))
    points = np.arange(len(x))
    if len(x) > _CANDIDATES:  # evenly along the curve, so that steep and flat stretches have their share
        length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        wanted = np.linspace(0, length[-1], _CANDIDATES)
        points = np.unique(np.concatenate([[0, len(x) - 1], np.searchsorted(length, wanted).clip(0, len(x) - 1)]))
    exact = np.trapezoid(y, x)
    while True:
        kept = points[_corners(x[points], y[points], at_most)]
        if abs(np.trapezoid(y[kept], x[kept]) - exact) <= AREA_TOLERANCE:
            return kept
        if at_most >= len(points):
            return np.arange(len(x))
        at_most *= 2


def _corners(x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    kept, waiting = [0, len(x) - 1], []

    def look(first: int, last: int) -> None:
        if last - first < 2:
            return
        dx, dy = x[last] - x[first], y[last] - y[first]
        inner = slice(first + 1, last)
        off = np.abs(dx * (y[inner] - y[first]) - dy * (x[inner] - x[first]))
        farthest = int(off.argmax())
        heapq.heappush(waiting, (-off[farthest], first, first + 1 + farthest, last))

    look(0, len(x) - 1)
    while waiting and len(kept) < count:
        off, first, corner, last = heapq.heappop(waiting)
        if off == 0:
            break
        kept.append(corner)
        look(first, corner)
        look(corner, last)
    return np.array(sorted(kept))
