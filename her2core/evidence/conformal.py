"""Prediction sets by hierarchical conformal prediction: calibrated on patients, for a patch or a patient that is new.

The nonconformity score of a row is one minus the probability of its true class. Every validation patient weighs the
same, shared among its rows, and one further patient counts as infinitely nonconforming (Lee, Barber & Willett 2023,
arXiv 2306.06342, after Dunn, Wasserman & Ramdas 2022, doi 10.1080/01621459.2022.2060112): a class is in the set of a
row of a new patient when its score is within the part of this distribution that the nominal coverage names. With one
row for each patient this is split conformal prediction (Vovk 2012, doi 10.1007/s10994-013-5355-6).

Where every class has enough patients the sets are class-conditional: the coverage is that of each class. Otherwise they
are marginal, and where even all patients together are too few, none are given. Both are said in ``reason``. Where
patients are unknown each row counts as its own patient, and that is said too: patches of one patient are correlated,
and the coverage for a new patient is lower.

The guarantee holds for patients exchangeable with those of validation; those of another hospital differ. Training has
also used the validation patients, to choose its epoch and temperature: the coverage on patients it never saw is
measured (``run_sets.coverage_table`` of the test part), not guaranteed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.notes import join_notes

if TYPE_CHECKING:
    from her2core.evidence.metrics.metric import Floats

METHOD = "hierarchical conformal prediction, score 1 - p"
CONDITIONAL, MARGINAL, NONE = "class-conditional", "marginal", "none"
KINDS = (CONDITIONAL, MARGINAL, NONE)
_BY_PATCH = "patches are taken as exchangeable; those of one patient are not"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PredictionSets:
    """Thresholds from which prediction sets follow; made by ``fit_prediction_sets`` or read from a model card.

    Parameters
    ----------
    coverage : float
        Nominal coverage, between 0 and 1: proportion of sets that should hold the true class.
    classes : tuple of str
        Classes in order.
    thresholds : tuple of float
        For each class the largest score, 1 - p, with which it is in the set; empty where no sets are given.
    rows : tuple of int
        Validation rows of each class.
    patients : tuple of int, optional
        Validation patients of each class; None where every row counted as its own.
    unit : {'patch', 'patient'}
        What a set is of.
    kind : {'class-conditional', 'marginal', 'none'}
        Whether the coverage is that of each class, of all together, or no sets are given.
    reason : str
        Why sets are marginal or not given.

    Examples
    --------
    >>> sets = PredictionSets(0.9, ("negative", "positive"), (0.4, 0.7), (100, 100))
    >>> sets.sets([[0.65, 0.35]])
    array([[ True,  True]])
    """

    coverage: float
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    rows: tuple[int, ...]
    patients: tuple[int, ...] | None = None
    unit: str = "patch"
    kind: str = CONDITIONAL
    reason: str = ""

    @property
    def given(self) -> bool:
        """Whether there are sets at all."""
        return self.kind != NONE

    @property
    def note(self) -> str:
        """What must be known with every set: that it is marginal, not given, or calibrated on rows; else empty."""
        pooled = _BY_PATCH if self.patients is None and self.unit == "patch" else ""
        return join_notes(pooled, self.reason)

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
            For another number of classes, or where no sets are given.
        """
        scores = _scores(probs, len(self.classes))
        if not self.given:
            raise EvaluationError(
                "prediction sets",
                got=self.reason,
                where=f"prediction sets of a {self.unit}",
                fix="Calibrate on more patients.",
            )
        return scores <= np.asarray(self.thresholds) + _ROUNDING

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
            "kind": self.kind,
            "reason": self.reason,
            "thresholds": dict(zip(self.classes, self.thresholds, strict=True)) if self.given else {},
            f"validation_{_plural(self.unit)}": dict(zip(self.classes, self.rows, strict=True)),
        } | (
            {}
            if self.patients is None or self.unit == "patient"
            else {"validation_patients": dict(zip(self.classes, self.patients, strict=True))}
        )

    @classmethod
    def from_card(
        cls, entry: Mapping[str, Any], *, run_classes: tuple[str, ...], unit: str = "patch"
    ) -> PredictionSets:
        """Read the entry of a model card.

        Parameters
        ----------
        entry : mapping
            As ``as_dict`` gives it. One without validation patients was calibrated on rows.
        run_classes : tuple of str
            Classes of the run.
        unit : {'patch', 'patient'}
            What the entry's sets are of.

        Returns
        -------
        PredictionSets

        Raises
        ------
        EvaluationError
            For a broken entry, or one of other classes.
        """
        try:
            classes, kind = tuple(entry["classes"]), str(entry.get("kind", CONDITIONAL))
            patients = entry.get("validation_patients")
            found = cls(
                float(entry["coverage"]),
                classes,
                () if kind == NONE else tuple(float(entry["thresholds"][c]) for c in classes),
                tuple(int(entry[f"validation_{_plural(unit)}"][c]) for c in classes),
                None if patients is None else tuple(int(patients[c]) for c in classes),
                unit,
                kind,
                str(entry.get("reason", "")),
            )
            if not (0 < found.coverage < 1 and all(0 <= t <= 1 for t in found.thresholds)):
                raise ValueError("a coverage or threshold that is not between 0 and 1")
            if kind not in KINDS:
                raise ValueError(f"kind {kind!r}")
            if found.classes != run_classes:
                raise ValueError(f"classes {', '.join(map(str, found.classes))} of a run of {', '.join(run_classes)}")
        except (KeyError, TypeError, ValueError, AttributeError) as broken:
            raise EvaluationError(
                f"prediction sets with coverage, classes, thresholds and validation_{_plural(unit)}",
                got=f"{type(broken).__name__}: {broken}",
                where="prediction_sets of the model card",
                fix="Run: her2 runs sets RUN",
            ) from None
        return found


def least_patients(coverage: float) -> int:
    """Fewest calibration patients with which a set can leave a class out: 1 / alpha - 1, rounded up.

    Parameters
    ----------
    coverage : float
        Nominal coverage, 1 - alpha, between 0 and 1.

    Returns
    -------
    int

    Raises
    ------
    ConfigError
        For a coverage that is not between 0 and 1.

    Examples
    --------
    >>> least_patients(0.9), least_patients(0.95)
    (9, 19)
    """
    if not 0 < coverage < 1:
        raise ConfigError("argument `coverage` to be between 0 and 1", got=str(coverage), fix="Use for example 0.9.")
    return int(np.ceil(coverage / (1 - coverage) - 1e-9))


def fit_prediction_sets(
    probs: ArrayLike,
    *,
    labels: ArrayLike,
    classes: tuple[str, ...],
    patients: ArrayLike | None = None,
    coverage: float = 0.9,
    unit: str = "patch",
) -> PredictionSets:
    """Choose the threshold of each class on validation rows.

    Parameters
    ----------
    probs : array_like of float, shape (N, K)
        Calibrated probabilities of the validation rows.
    labels : array_like of int, shape (N,)
        True class of each.
    classes : tuple of str
        Classes in order.
    patients : array_like, shape (N,), optional
        Patient of each row; None where they are unknown, and each row counts as its own.
    coverage : float
        Nominal coverage, between 0 and 1.
    unit : {'patch', 'patient'}
        What a row is.

    Returns
    -------
    PredictionSets
        Class-conditional where every class has ``least_patients``, marginal where only all patients together are as
        many, none otherwise.

    Raises
    ------
    ConfigError
        For a coverage that is not between 0 and 1.
    EvaluationError
        For another number of labels or patients than of rows.

    References
    ----------
    Lee, Barber & Willett 2023, arXiv 2306.06342; Vovk 2012, doi 10.1007/s10994-013-5355-6.

    Examples
    --------
    >>> p = np.tile(np.linspace(0.05, 0.95, 19), 2)
    >>> probs = np.stack([p, 1 - p], axis=1)
    >>> sets = fit_prediction_sets(
    ...     probs, labels=[0] * 19 + [1] * 19, classes=("negative", "positive"), patients=range(38)
    ... )
    >>> sets.kind, [round(t, 2) for t in sets.thresholds]
    ('class-conditional', [0.9, 0.9])
    """
    least = least_patients(coverage)
    all_scores, truth = _scores(probs, len(classes)), np.asarray(labels)
    codes = np.arange(len(all_scores)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    for what, values in (("labels", truth), ("patients", codes)):
        if values.shape != (len(all_scores),):
            raise EvaluationError(
                f"{len(all_scores)} {what}",
                got=f"shape {values.shape}",
                where="prediction sets",
                fix=f"Give one of the {what} for each row.",
            )
    of = [truth == k for k in range(len(classes))]
    counts = [len(np.unique(codes[rows])) for rows in of]
    total, counted = len(np.unique(codes)), "patient" if patients is not None else unit
    thresholds: tuple[float, ...]
    if min(counts) >= least:
        kind, reason = CONDITIONAL, ""
        thresholds = tuple(_threshold(all_scores[rows, k], codes[rows], coverage) for k, rows in enumerate(of))
    elif total >= least:
        short = classes[int(np.argmin(counts))]
        kind = MARGINAL
        reason = (
            f"marginal sets: the coverage is over all classes together, as validation has only "
            f"{_count(min(counts), counted)} of {short} ({least} of each are needed for a coverage in each class)"
        )
        true_scores = all_scores[np.arange(len(truth)), truth]
        thresholds = (_threshold(true_scores, codes, coverage),) * len(classes)
    else:
        kind, thresholds = NONE, ()
        reason = (
            f"no prediction sets: validation has only {_count(total, counted)} ({least} are needed at {coverage:.0%})"
        )
    return PredictionSets(
        coverage,
        tuple(classes),
        thresholds,
        tuple(int(rows.sum()) for rows in of),
        None if patients is None else tuple(counts),
        unit,
        kind,
        reason,
    )


def _threshold(scores: Floats, patients: NDArray[np.int64], coverage: float) -> float:
    """Smallest score up to which patients of equal weight, and one more beyond all scores, hold the coverage."""
    _, codes, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(1 / ((len(sizes) + 1) * sizes[codes[order]]))
    place = min(int(np.searchsorted(mass, coverage - 1e-9)), len(scores) - 1)  # rounding of the last sum
    return float(np.clip(scores[order[place]], 0, 1))


def _plural(unit: str) -> str:
    return f"{unit}es" if unit == "patch" else f"{unit}s"


def _count(n: int, unit: str) -> str:
    return f"{n} {unit if n == 1 else _plural(unit)}"


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
