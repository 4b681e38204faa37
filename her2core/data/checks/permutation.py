"""Permutation tests of many properties against the class, over patients, corrected for their number.

Labels are permuted among patients, so that neither few patients nor many patches of one patient cause a finding. The
correction is the single-step minimum p-value (Westfall and Young 1993, Resampling-Based Multiple Testing, Wiley): it
keeps the correlation between properties, and bounds the probability that any of them is found by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun
from her2core.data.manifest import UNKNOWN

#: Fewest patients of a class (in at least two classes) and in total, as for the test of colour.
MIN_PER_CLASS, MIN_TOTAL = 6, 15
#: Permutations of the labels.
PERMUTATIONS = 19_999
#: Permutations after which the test stops where no property is rarer than _STOP_P: none could become significant.
_STOP_AFTER, _STOP_P = 1000, 0.02
_BATCH = 250
_Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Association:
    """A property that goes with the class.

    Parameters
    ----------
    name : str
        Of the property.
    measure : str
        Name of the effect size.
    effect : float
        Its value: AUROC of the best-separated class against the rest, 0.5 to 1, or bias-corrected Cramer's V, 0 to 1.
    p_value : float
        Corrected for the number of properties.
    """

    name: str
    measure: str
    effect: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.name} ({self.measure} {self.effect:.2f}, p = {self.p_value:.4f})"


@dataclass(frozen=True)
class Units:
    """Patients, or slides where patients are unknown, with one label each.

    Parameters
    ----------
    column : str
        patient_id or slide_id.
    labels : Series
        Class of each, by id, of classes with enough of them.
    classes : tuple of str
        Those classes.
    """

    column: str
    labels: pd.Series
    classes: tuple[str, ...]

    @property
    def codes(self) -> np.ndarray:
        """Classes as positions, int (N,)."""
        return self.labels.map(self.classes.index).to_numpy()

    @property
    def name(self) -> str:
        """patients or slides."""
        return self.column.removesuffix("_id") + "s"


def label_units(inputs: CheckInputs, frame: pd.DataFrame) -> Units | CouldNotRun:
    """Patients (slides) among whom labels can be permuted.

    Parameters
    ----------
    inputs : CheckInputs
    frame : DataFrame
        Rows of its manifest.

    Returns
    -------
    Units or CouldNotRun
        The latter where ids are unknown or there are too few.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> inputs = example_inputs(patient_id=[f"P{i}" for i in range(20)])
    >>> label_units(inputs, inputs.frame).labels.value_counts().to_dict()
    {'negative': 10, 'positive': 10}
    """
    column = next((c for c in ("patient_id", "slide_id") if not (frame[c] == UNKNOWN).any()), None)
    if column is None:
        return CouldNotRun("patient and slide ids are unknown, so what identifies a patient cannot be told apart")
    labels = frame.groupby(column)["label"].agg(["first", "nunique"])
    labels = labels.loc[labels["nunique"] == 1, "first"]
    counts = labels.value_counts()
    tested = tuple(c for c in inputs.manifest.classes if counts.get(c, 0) >= MIN_PER_CLASS)
    name = column.removesuffix("_id") + "s"
    if len(tested) < 2 or sum(counts[c] for c in tested) < MIN_TOTAL:
        there = ", ".join(f"{counts.get(c, 0)} of {c}" for c in inputs.manifest.classes)
        return CouldNotRun(
            f"the permutation test needs at least {MIN_PER_CLASS} {name} per class and {MIN_TOTAL} in total, each with "
            f"one label, and there are {there}"
        )
    return Units(column, labels[labels.isin(tested)], tested)


def associations(
    table: pd.DataFrame, *, labels: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0
) -> list[Association]:
    """Test every column against the class.

    Parameters
    ----------
    table : DataFrame
        One row a patient: numbers, or text with few values. Missing numbers rank in the middle.
    labels : ndarray, int (N,)
        Classes 0 to K - 1.
    permutations, seed : int

    Returns
    -------
    list of Association
        In the order of the columns; constant ones are left out.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 20)
    >>> table = pd.DataFrame({"bytes": labels * 10 + np.arange(40) % 3, "format": "PNG", "day": np.arange(40) % 5})
    >>> [str(found) for found in associations(table, labels=labels)]
    ['bytes (AUROC 1.00, p = 0.0001)', 'day (AUROC 0.50, p = 1.0000)']
    """
    kept = [c for c in table if table[c].nunique(dropna=False) > 1]
    if not kept:
        return []
    numeric = [c for c in kept if pd.api.types.is_numeric_dtype(table[c])]
    order = [*numeric, *(c for c in kept if c not in numeric)]
    statistics: list[_Statistic] = [_separation(table[numeric].to_numpy(float))] if numeric else []
    statistics += [_chi_square(pd.factorize(table[c].astype(str))[0]) for c in order[len(numeric) :]]
    rng = np.random.default_rng(seed)
    values = [np.concatenate([s(_one_hot(labels[None], labels)) for s in statistics], axis=1)]
    reached = np.zeros(len(order))
    for done in range(0, permutations, _BATCH):
        some = rng.permuted(np.tile(labels, (min(_BATCH, permutations - done), 1)), axis=1)
        truth = _one_hot(some, labels)
        values.append(np.concatenate([s(truth) for s in statistics], axis=1))
        reached += (values[-1] >= values[0] - 1e-9).sum(axis=0)
        if done + _BATCH >= _STOP_AFTER and reached.min() > _STOP_P * (done + _BATCH):
            break
    corrected = corrected_p(np.concatenate(values))
    effects = values[0][0]
    found = {
        name: Association(name, *_effect(name in numeric, effects[i], table[name], labels), float(corrected[i]))
        for i, name in enumerate(order)
    }
    return [found[name] for name in kept]


def corrected_p(values: np.ndarray) -> np.ndarray:
    """Single-step minimum-p correction.

    Parameters
    ----------
    values : ndarray, float (1 + P, F)
        Statistics of the observed labels, then of every permutation; larger is more extreme.

    Returns
    -------
    ndarray, float (F,)
        Corrected p-values of the observed labels.

    Examples
    --------
    >>> corrected_p(np.array([[9.0, 1.0], [1, 2], [2, 3], [3, 4]])).tolist()
    [0.5, 1.0]
    """
    rounded = np.round(values, 9)
    order = np.sort(rounded, axis=0)
    p = np.stack(
        [
            (len(values) - np.searchsorted(order[:, i], rounded[:, i], side="left")) / len(values)
            for i in range(values.shape[1])
        ],
        axis=1,
    )
    lowest = np.sort(p.min(axis=1))
    return np.searchsorted(lowest, p[0], side="right") / len(values)


def _one_hot(permuted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float32 (B, N, K)."""
    return (permuted[:, :, None] == np.arange(labels.max() + 1)).astype(np.float32)


def _separation(numbers: np.ndarray) -> _Statistic:
    """Largest distance of a class's AUROC from one half, for each column; midranks."""
    from scipy.stats import rankdata

    middle = np.nanmedian(np.where(np.isfinite(numbers), numbers, np.nan), axis=0)
    ranks = rankdata(np.where(np.isfinite(numbers), numbers, middle), axis=0)
    centred = (ranks - ranks.mean(axis=0)).astype(np.float32)

    def statistic(truth: np.ndarray) -> np.ndarray:
        positive = truth.sum(axis=1)
        total = np.einsum("nf,bnk->bfk", centred, truth, optimize=True)
        pairs = np.maximum(positive * (len(numbers) - positive), 1)
        return np.asarray(np.abs(total / pairs[:, None]).max(axis=2), np.float64)

    return statistic


def _chi_square(codes: np.ndarray) -> _Statistic:
    values = (codes[:, None] == np.arange(codes.max() + 1)).astype(np.float32)

    def statistic(truth: np.ndarray) -> np.ndarray:
        counts = np.einsum("nv,bnk->bvk", values, truth, optimize=True)
        expected = values.sum(axis=0)[None, :, None] * truth.sum(axis=1)[:, None] / len(codes)
        return np.asarray(((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum(axis=(1, 2)))[:, None]

    return statistic


def _effect(is_number: bool, value: float, column: pd.Series, labels: np.ndarray) -> tuple[str, float]:
    if is_number:
        return "AUROC", float(0.5 + value)
    n, rows, columns = len(labels), labels.max() + 1, column.astype(str).nunique()
    phi = max(0.0, value / n - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return "Cramer's V", float(np.sqrt(phi / least)) if least > 0 else 0.0
