"""ROC and precision-recall curves of each class against the rest.

A row is predicted as the class when its probability reaches the threshold, so that every distinct probability is one
point (Fawcett 2006, doi 10.1016/j.patrec.2005.10.010). As scikit-learn's ``roc_curve`` and ``precision_recall_curve``,
with one deliberate difference: no point (recall 0, precision 1) is added, as no threshold gives it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from her2core.evidence.arguments import check_predictions
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.metrics.ranking import average_precision
from her2core.evidence.predictions import Predictions

#: Points per class beyond which a curve is thinned: more than a screen can show.
MAX_POINTS = 400
#: Largest difference of the area under a thinned curve from the exact one.
AREA_TOLERANCE = 5e-4
#: Candidates among which the corners are searched; finer than the eye.
_CANDIDATES = 20_000


def roc_points(predictions: Predictions, *, max_points: int = MAX_POINTS) -> pd.DataFrame:
    """Compute the ROC curve of each class against the rest.

    Parameters
    ----------
    predictions : Predictions
    max_points : int
        Curves of more points are thinned to their corners, by at most ``AREA_TOLERANCE`` of area.

    Returns
    -------
    DataFrame
        class, threshold, fpr, tpr, auroc; thresholds fall from row to row. The first point of a class, (0, 0), has
        threshold infinity. ``auroc`` is that of all points and the same in every row of a class. A class of
        ``undefined_classes`` has no rows.

    Raises
    ------
    EvaluationError
        When there are no probabilities.

    References
    ----------
    Fawcett 2006, doi 10.1016/j.patrec.2005.10.010.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.3, 0.4, 0.2]})
    >>> points = roc_points(read_predictions(frame.assign(probability_b=1 - frame["probability_a"])))
    >>> points.loc[points["class"] == "a", ["threshold", "fpr", "tpr"]]
       threshold  fpr  tpr
    0        inf  0.0  0.0
    1        0.9  0.0  0.5
    2        0.4  0.5  0.5
    3        0.3  0.5  1.0
    4        0.2  1.0  1.0
    """
    tables = []
    for name, thresholds, hits, alarms in _steps(predictions):
        fpr, tpr = (np.concatenate([[0.0], c / c[-1]]) for c in (alarms, hits))
        kept = _thin(fpr, tpr, max_points)
        columns = {"threshold": np.concatenate([[np.inf], thresholds])[kept], "fpr": fpr[kept], "tpr": tpr[kept]}
        tables.append(pd.DataFrame({"class": name, **columns, "auroc": np.trapezoid(tpr, fpr)}))
    return _joined(tables, ("threshold", "fpr", "tpr", "auroc"))


def pr_points(predictions: Predictions, *, max_points: int = MAX_POINTS) -> pd.DataFrame:
    """Compute the precision-recall curve of each class against the rest.

    Parameters
    ----------
    predictions : Predictions
    max_points : int
        As for ``roc_points``.

    Returns
    -------
    DataFrame
        class, threshold, recall, precision, average_precision, prevalence; thresholds fall from row to row.
        ``average_precision`` (of all points) and ``prevalence`` (the precision of a random classifier) are the same in
        every row of a class. A class of ``undefined_classes`` has no rows.

    Raises
    ------
    EvaluationError
        When there are no probabilities.

    References
    ----------
    Davis & Goadrich 2006, doi 10.1145/1143844.1143874.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.3, 0.4, 0.2]})
    >>> points = pr_points(read_predictions(frame.assign(probability_b=1 - frame["probability_a"])))
    >>> points.loc[points["class"] == "a", "precision"].round(3).tolist()
    [1.0, 0.5, 0.667, 0.5]
    """
    tables = []
    for name, thresholds, hits, alarms in _steps(predictions):
        recall, precision = hits / hits[-1], hits / (hits + alarms)
        kept = _thin(recall, precision, max_points)
        position = predictions.classes.index(name)
        area = average_precision(predictions.probs[:, position], positive=predictions.labels == position)
        columns = {"threshold": thresholds[kept], "recall": recall[kept], "precision": precision[kept]}
        constant = {"average_precision": float(area), "prevalence": hits[-1] / len(predictions)}
        tables.append(pd.DataFrame({"class": name, **columns, **constant}))
    return _joined(tables, ("threshold", "recall", "precision", "average_precision", "prevalence"))


def undefined_classes(predictions: Predictions) -> dict[str, str]:
    """Find the classes whose curves are undefined.

    Parameters
    ----------
    predictions : Predictions

    Returns
    -------
    dict of str to str
        Class to reason; empty when every class has cases and non-cases.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> p = read_predictions(frame)
    >>> undefined_classes(p.where(p.labels == 0))
    {'a': 'every patch is truly a', 'b': 'no patch is truly b'}
    """
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    unit = predictions.unit
    reasons = {}
    for name, count in zip(predictions.classes, counts, strict=True):
        if not count:
            reasons[name] = f"no {unit} is truly {name}"
        elif count == len(predictions):
            reasons[name] = f"every {unit} is truly {name}"
    return reasons


def _steps(predictions: Predictions) -> Iterator[tuple[str, Floats, NDArray[np.int64], NDArray[np.int64]]]:
    """Of each class that has a curve: its name, falling thresholds, true and false positives at each."""
    without = undefined_classes(predictions)
    if len(predictions):
        check_predictions(predictions, "ROC and precision-recall curves", scores=True)
    for i, name in enumerate(predictions.classes):
        if name in without or not len(predictions):
            continue
        scores = predictions.probs[:, i]
        order = np.argsort(scores)[::-1]
        scores, case = scores[order], (predictions.labels == i)[order]
        last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)  # equal scores are one threshold
        hits = np.cumsum(case)[last]
        yield name, scores[last], hits, last + 1 - hits


def _joined(tables: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    if tables:
        return pd.concat(tables, ignore_index=True)
    return pd.DataFrame({"class": pd.Series(dtype="str"), **{c: pd.Series(dtype="float64") for c in columns}})


def _thin(x: Floats, y: Floats, at_most: int) -> NDArray[np.int64]:
    """Positions, rising, of the points to keep: the ends, then repeatedly the farthest from the lines so far.

    Ramer (1972, doi 10.1016/S0146-664X(72)80017-0) and Douglas & Peucker (1973), best first. If the area under the
    kept points is still off by more than AREA_TOLERANCE, more points are kept than ``at_most``.
    """
    if len(x) <= at_most:
        return np.arange(len(x))
    points = np.arange(len(x))
    if len(x) > _CANDIDATES:  # evenly along the curve, so that steep and flat stretches are both covered
        length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        wanted = np.linspace(0, length[-1], _CANDIDATES)
        points = np.unique(np.concatenate([[0, len(x) - 1], np.searchsorted(length, wanted).clip(0, len(x) - 1)]))
    exact = float(np.trapezoid(y, x))
    while True:
        kept = points[_corners(x[points], y[points], at_most)]
        if abs(float(np.trapezoid(y[kept], x[kept])) - exact) <= AREA_TOLERANCE:
            return kept
        if at_most >= len(points):
            return np.arange(len(x))
        at_most *= 2


def _corners(x: Floats, y: Floats, count: int) -> NDArray[np.int64]:
    kept = [0, len(x) - 1]
    waiting: list[tuple[float, int, int, int]] = []

    def look(first: int, last: int) -> None:
        if last - first < 2:
            return
        dx, dy = x[last] - x[first], y[last] - y[first]
        inner = slice(first + 1, last)
        off = np.abs(dx * (y[inner] - y[first]) - dy * (x[inner] - x[first]))
        farthest = int(off.argmax())
        heapq.heappush(waiting, (-float(off[farthest]), first, first + 1 + farthest, last))

    look(0, len(x) - 1)
    while waiting and len(kept) < count:
        off, first, corner, last = heapq.heappop(waiting)
        if off == 0:
            break
        kept.append(corner)
        look(first, corner)
        look(corner, last)
    return np.array(sorted(kept))
