"""Prediction sets by class-conditional (Mondrian) split conformal prediction.

Vovk 2012, doi 10.1007/s10994-013-5355-6; tutorial: Angelopoulos & Bates 2023, doi 10.1561/2200000101. The nonconformity
score of a patch is one minus the probability of its true class; a class is in the set of a new patch when its score is
no larger than that of all but one in ten (at 90 %) of the validation patches of that class.

The guarantee holds for patches exchangeable with those of validation. Patches of one patient are correlated, and those
of another hospital differ. Training has also used the validation patches, to choose its epoch and temperature: the
coverage on patches it never saw is measured (``coverage_table`` of the test part), not guaranteed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.arguments import check_predictions
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.predictions import Predictions

METHOD = "class-conditional split conformal, score 1 - p"
_BY_PATCH = "patches are taken as exchangeable; those of one patient are not"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PredictionSets:
    """Thresholds from which prediction sets follow; made by ``fit_prediction_sets`` or read from a model card.

    Parameters
    ----------
    coverage : float
        Nominal coverage: proportion of each class's patches whose set should hold it, between 0 and 1.
    classes : tuple of str
        Classes in order.
    thresholds : tuple of float
        For each class the largest score, 1 - p, with which it is in the set.
    patches : tuple of int
        Validation patches of each class.

    Examples
    --------
    >>> sets = PredictionSets(0.9, ("negative", "positive"), (0.4, 0.7), (100, 100))
    >>> sets.sets([[0.65, 0.35]])
    array([[ True,  True]])
    """

    coverage: float
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    patches: tuple[int, ...]

    @property
    def always(self) -> tuple[str, ...]:
        """Classes that are in every set: too few validation patches to exclude them (fewer than 9 at 90 %)."""
        return tuple(c for c, n in zip(self.classes, self.patches, strict=True) if _rank(n, self.coverage) > n)

    def sets(self, probs: ArrayLike) -> NDArray[np.bool_]:
        """Prediction set of each row.

        Parameters
        ----------
        probs : array_like of float, shape (N, K)
            Calibrated probabilities.

        Returns
        -------
        ndarray of bool, shape (N, K)
            Which classes are in the set; a row may be empty.

        Raises
        ------
        EvaluationError
            For another number of classes.
        """
        return _scores(probs, len(self.classes)) <= np.asarray(self.thresholds) + _ROUNDING

    def names(self, row: NDArray[np.bool_]) -> tuple[str, ...]:
        """Classes of one set.

        Parameters
        ----------
        row : ndarray of bool, shape (K,)

        Returns
        -------
        tuple of str
        """
        return tuple(name for name, there in zip(self.classes, row, strict=True) if there)

    def as_dict(self) -> dict[str, Any]:
        """Entry of the model card, ready for JSON.

        Returns
        -------
        dict
        """
        return {
            "method": METHOD,
            "coverage": self.coverage,
            "classes": list(self.classes),
            "thresholds": dict(zip(self.classes, self.thresholds, strict=True)),
            "validation_patches": dict(zip(self.classes, self.patches, strict=True)),
            "in_every_set": list(self.always),
        }

    @classmethod
    def from_card(cls, entry: Mapping[str, Any], *, run_classes: tuple[str, ...]) -> PredictionSets:
        """Read the entry of a model card.

        Parameters
        ----------
        entry : mapping
            As ``as_dict`` gives it.
        run_classes : tuple of str
            Classes of the run.

        Returns
        -------
        PredictionSets

        Raises
        ------
        EvaluationError
            For a broken entry, or one of other classes.
        """
        try:
            classes = tuple(entry["classes"])
            found = cls(
                float(entry["coverage"]),
                classes,
                tuple(float(entry["thresholds"][c]) for c in classes),
                tuple(int(entry["validation_patches"][c]) for c in classes),
            )
            if not (0 < found.coverage < 1 and all(0 <= t <= 1 for t in found.thresholds)):
                raise ValueError("a coverage or threshold that is not between 0 and 1")
            if found.classes != run_classes:
                raise ValueError(f"classes {', '.join(map(str, found.classes))} of a run of {', '.join(run_classes)}")
        except (KeyError, TypeError, ValueError, AttributeError) as broken:
            raise EvaluationError(
                "prediction sets with coverage, classes, thresholds and validation_patches",
                got=f"{type(broken).__name__}: {broken}",
                where="prediction_sets of the model card",
                fix="Run: her2 runs complete RUN",
            ) from None
        return found


def fit_prediction_sets(
    probs: ArrayLike, *, labels: ArrayLike, classes: tuple[str, ...], coverage: float = 0.9
) -> PredictionSets:
    """Choose the threshold of each class on validation patches.

    A class's threshold is the score of rank ceil((n + 1) * coverage) of its n patches; where there is no such rank the
    class is in every set.

    Parameters
    ----------
    probs : array_like of float, shape (N, K)
        Calibrated probabilities of the validation patches.
    labels : array_like of int, shape (N,)
        True class of each.
    classes : tuple of str
        Classes in order.
    coverage : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    PredictionSets

    Raises
    ------
    ConfigError
        For a coverage that is not between 0 and 1.
    EvaluationError
        For another number of labels than of patches.

    References
    ----------
    Vovk 2012, doi 10.1007/s10994-013-5355-6.

    Examples
    --------
    >>> p = np.linspace(0.05, 0.95, 19)
    >>> probs, labels = np.stack([p, 1 - p], axis=1), np.zeros(19, int)
    >>> sets = fit_prediction_sets(probs, labels=labels, classes=("negative", "positive"))
    >>> round(sets.thresholds[0], 2), sets.always
    (0.9, ('positive',))
    """
    if not 0 < coverage < 1:
        raise ConfigError("argument `coverage` to be between 0 and 1", got=str(coverage), fix="Use for example 0.9.")
    all_scores, truth = _scores(probs, len(classes)), np.asarray(labels)
    if truth.shape != (len(all_scores),):
        raise EvaluationError(
            f"{len(all_scores)} labels",
            got=f"shape {truth.shape}",
            where="prediction sets",
            fix="Give one label for each patch.",
        )
    thresholds, patches = [], []
    for k in range(len(classes)):
        scores = np.sort(all_scores[truth == k, k])
        rank = _rank(len(scores), coverage)
        thresholds.append(float(np.clip(scores[rank - 1], 0, 1)) if rank <= len(scores) else 1.0)
        patches.append(len(scores))
    return PredictionSets(coverage, tuple(classes), tuple(thresholds), tuple(patches))


def coverage_table(sets: PredictionSets, predictions: Predictions) -> pd.DataFrame:
    """Measure the coverage and size of prediction sets.

    Parameters
    ----------
    sets : PredictionSets
    predictions : Predictions
        Of the same classes, the test part.

    Returns
    -------
    DataFrame
        One row per class, then one for all (class ""): unit, class, nominal_coverage, set_coverage, mean_size,
        singleton_rate (proportion of sets with one class), empty_rate, n (rows of the class), note; NaN where n is 0.
        Each row counts by itself: those of one patient are correlated, so that a coverage may be further from the truth
        than its n suggests. ``abstention.referral_table`` has intervals that resample patients.

    Raises
    ------
    EvaluationError
        For other classes, or without probabilities.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.7], "probability_b": [0.1, 0.3]})
    >>> table = coverage_table(PredictionSets(0.9, ("a", "b"), (0.5, 0.5), (50, 50)), read_predictions(frame))
    >>> table["set_coverage"].tolist()
    [1.0, 0.0, 0.5]
    """
    if len(predictions):
        check_predictions(predictions, "prediction sets", scores=True)
    inside = sets.sets(predictions.probs)
    size = inside.sum(axis=1)
    measures = {
        "set_coverage": inside[np.arange(len(predictions)), predictions.labels],
        "mean_size": size,
        "singleton_rate": size == 1,
        "empty_rate": size == 0,
    }
    rows = []
    for k, name in [*enumerate(predictions.classes), (None, "")]:
        of = np.ones(len(predictions), bool) if k is None else predictions.labels == k
        always = "; in every set: too few validation patches" if name in sets.always else ""
        rows.append(
            {
                "unit": predictions.unit,
                "class": name,
                "nominal_coverage": sets.coverage,
                **{m: float(values[of].mean()) if of.any() else np.nan for m, values in measures.items()},
                "n": int(of.sum()),
                "note": _BY_PATCH + always,
            }
        )
    return pd.DataFrame(rows)


def _rank(patches: int, coverage: float) -> int:
    """Which of the sorted scores is the threshold, from 1; more than ``patches`` where none is large enough."""
    return int(np.ceil((patches + 1) * coverage - 1e-9))  # 10 * 0.9 must not become 10


def _scores(probs: ArrayLike, classes: int) -> Floats:
    values = np.asarray(probs, np.float64)
    if values.ndim != 2 or values.shape[1] != classes:
        raise EvaluationError(
            f"probabilities of {classes} classes",
            got=f"shape {values.shape}",
            where="prediction sets",
            fix="Give one row for each patch and one column for each class.",
        )
    return 1 - values
