"""Which classes are still credible for this patch? Validation probabilities in; thresholds, then sets of classes, out.

Class-conditional (Mondrian) split conformal prediction: Vovk 2012, doi 10.1007/s10994-013-5355-6; tutorial:
Angelopoulos & Bates 2023, doi 10.1561/2200000101. The score of a patch is one minus the probability of its true class;
a class is in the set of a new patch when its score is no larger than that of all but one in ten (at 90 %) of the
validation patches of that class.

The promise holds for patches exchangeable with those of validation. Patches of one patient go together, and another
hospital's are something else. Training has also looked at the validation patches, to choose its epoch and temperature:
what the sets are worth on patches it never saw is measured (``coverage_table`` of the test part), not promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.predictions import Predictions

METHOD = "class-conditional split conformal, score 1 - p"
_BY_PATCH = "Patches are taken as exchangeable; those of one patient are not."
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PredictionSets:
    """What a run needs to give sets. Get one with ``fit_prediction_sets``, or from a card.

    ``coverage``: share of each class's patches that should have it in their set; ``classes`` in order; ``thresholds``:
    for each the largest score, 1 - p, with which it is in the set; ``patches``: validation patches of each.
    """

    coverage: float
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    patches: tuple[int, ...]

    @property
    def always(self) -> tuple[str, ...]:
        """Classes that are in every set: too few validation patches to leave them out (fewer than 9 at 90 %)."""
        return tuple(c for c, n in zip(self.classes, self.patches, strict=True) if _rank(n, self.coverage) > n)

    def sets(self, probs: np.ndarray) -> np.ndarray:
        """float (N, K) calibrated probabilities -> bool (N, K), which classes are credible.

        A row may be empty: none of the classes is credible. Raises EvaluationError for another number of classes.
        """
        return _scores(probs, len(self.classes)) <= np.asarray(self.thresholds) + _ROUNDING

    def names(self, row: np.ndarray) -> tuple[str, ...]:
        """bool (K,) -> the classes in the set."""
        return tuple(name for name, there in zip(self.classes, row, strict=True) if there)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, for the card."""
        return {
            "method": METHOD,
            "coverage": self.coverage,
            "classes": list(self.classes),
            "thresholds": dict(zip(self.classes, self.thresholds, strict=True)),
            "validation_patches": dict(zip(self.classes, self.patches, strict=True)),
            "in_every_set": list(self.always),
        }

    @classmethod
    def from_card(cls, held: Mapping[str, Any], *, run_classes: tuple[str, ...]) -> PredictionSets:
        """What ``as_dict`` gave, for a run of these classes. Raises EvaluationError for anything else."""
        try:
            classes = tuple(held["classes"])
            found = cls(
                float(held["coverage"]),
                classes,
                tuple(float(held["thresholds"][c]) for c in classes),
                tuple(int(held["validation_patches"][c]) for c in classes),
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
    probs: np.ndarray, *, labels: np.ndarray, classes: tuple[str, ...], coverage: float = 0.9
) -> PredictionSets:
    """Thresholds from validation patches: float (N, K) calibrated probabilities and int (N,) labels.

    A class's threshold is the score of rank ceil((n + 1) * coverage) of its n patches; where there is no such rank the
    class is in every set. Raises EvaluationError for a coverage that is not between 0 and 1, or another number of
    labels than of patches.
    """
    if not 0 < coverage < 1:
        raise EvaluationError(
            "a coverage between 0 and 1", got=str(coverage), where="prediction sets", fix="Use for example 0.9."
        )
    all_scores, labels = _scores(probs, len(classes)), np.asarray(labels)
    if labels.shape != (len(all_scores),):
        raise EvaluationError(
            f"{len(all_scores)} labels",
            got=f"shape {labels.shape}",
            where="prediction sets",
            fix="Give one label a patch.",
        )
    thresholds, patches = [], []
    for k in range(len(classes)):
        scores = np.sort(all_scores[labels == k, k])
        rank = _rank(len(scores), coverage)
        thresholds.append(float(np.clip(scores[rank - 1], 0, 1)) if rank <= len(scores) else 1.0)
        patches.append(len(scores))
    return PredictionSets(coverage, tuple(classes), tuple(thresholds), tuple(patches))


def coverage_table(sets: PredictionSets, predictions: Predictions) -> pd.DataFrame:
    """How often the true class is in the set, and how large sets are: one row a class, then one for all (class "").

    Columns unit, class, coverage_asked, covered, mean_size, single (share of sets with one class), empty (share
    without any), n (rows of the class) and note; shares are NaN where n is 0. Each row of ``predictions`` counts alone:
    those of one patient go together, so that a share may stray further from the truth than its n suggests. How far is
    said by the intervals of ``abstention.referral_table`` (``covered``), which draws patients.
    """
    inside = sets.sets(predictions.probs)
    size = inside.sum(axis=1)
    figures = {
        "covered": inside[np.arange(len(predictions)), predictions.labels],
        "mean_size": size,
        "single": size == 1,
        "empty": size == 0,
    }
    rows = []
    for k, name in [*enumerate(predictions.classes), (None, "")]:
        of = np.ones(len(predictions), bool) if k is None else predictions.labels == k
        shares = {figure: float(values[of].mean()) if of.any() else np.nan for figure, values in figures.items()}
        always = " In every set: too few validation patches." if name in sets.always else ""
        rows.append(
            {
                "unit": predictions.unit,
                "class": name,
                "coverage_asked": sets.coverage,
                **shares,
                "n": int(of.sum()),
                "note": _BY_PATCH + always,
            }
        )
    return pd.DataFrame(rows)


def _rank(patches: int, coverage: float) -> int:
    """Which of the sorted scores is the threshold, from 1; more than ``patches`` where none is large enough."""
    return int(np.ceil((patches + 1) * coverage - 1e-9))  # 10 * 0.9 must not become 10


def _scores(probs: np.ndarray, classes: int) -> np.ndarray:
    probs = np.asarray(probs, np.float64)
    if probs.ndim != 2 or probs.shape[1] != classes:
        raise EvaluationError(
            f"probabilities of {classes} classes",
            got=f"shape {probs.shape}",
            where="prediction sets",
            fix="Give one row a patch, one column a class.",
        )
    return 1 - probs
