"""Permutation tests of many properties against the class, over patients, corrected for their number.

Labels are permuted among patients, so that neither few patients nor many patches of one patient cause a finding. The
correction is the single-step minimum p-value (Westfall and Young 1993, Resampling-Based Multiple Testing, Wiley): it
keeps the correlation between properties, and bounds the probability that any of them is found by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun
from her2core.data.manifest import UNKNOWN

#: Fewest patients of a class (in at least two classes) and in total: with fewer, not even a perfect classifier is rarer
#: than one random permutation in a thousand.
MIN_PER_CLASS, MIN_TOTAL = 6, 15
#: Largest share of rows without a patient (slide) id that are left out; with more, the ids count as unknown.
MAX_UNKNOWN = 0.1
#: Numbers with at most so many values are tested as categories too: a batch in the middle tells a class, its rank not.
_FEW_VALUES = 12
#: Permutations of the labels.
PERMUTATIONS = 19_999
#: Permutations after which the test stops where no property is rarer than _STOP_P: none could become significant.
_STOP_AFTER, _STOP_P = 1000, 0.02
_BATCH = 250
CRAMERS_V = "Cramer's V"
#: Said of colour and texture where the classes are no HER2 status.
OF_TISSUE = "Kinds of tissue differ in this by themselves: a fault only where classes were to show the same tissue."
_PLURALS = {"patient_id": "patients", "slide_id": "slides", "patch_id": "patches"}
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
        Its value: AUROC of the best-separated class against the rest, 0.5 to 1; or bias-corrected Cramer's V, 0 to 1;
        or phi, 0 to 1, of one class against the rest and one value against the others.
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
        patient_id or slide_id; patch_id where single patches were asked for and both are unknown.
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
        """patients, slides or patches."""
        return _PLURALS[self.column]


def label_units(inputs: CheckInputs, frame: pd.DataFrame, *, patches: bool = False) -> Units | CouldNotRun:
    """Patients (slides) among whom labels can be permuted.

    Parameters
    ----------
    inputs : CheckInputs
    frame : DataFrame
        Rows of its manifest.
    patches : bool
        Whether single patches will do where patients and slides are unknown.

    Returns
    -------
    Units or CouldNotRun
        The latter where ids are unknown in more than MAX_UNKNOWN of the rows, or there are too few.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> inputs = example_inputs(patient_id=[f"P{i}" for i in range(20)])
    >>> label_units(inputs, inputs.frame).labels.value_counts().to_dict()
    {'negative': 10, 'positive': 10}
    """
    known = (c for c in ("patient_id", "slide_id") if (frame[c] == UNKNOWN).mean() <= MAX_UNKNOWN)
    column = next(known, "patch_id" if patches else None)
    if column is None:
        return CouldNotRun("patient and slide ids are unknown, so what identifies a patient cannot be told apart")
    labels = frame[frame[column] != UNKNOWN].groupby(column)["label"].agg(["first", "nunique"])
    labels = labels.loc[labels["nunique"] == 1, "first"]
    counts = labels.value_counts()
    tested = tuple(c for c in inputs.manifest.classes if counts.get(c, 0) >= MIN_PER_CLASS)
    name = _PLURALS[column]
    if len(tested) < 2 or sum(counts[c] for c in tested) < MIN_TOTAL:
        there = ", ".join(f"{counts.get(c, 0)} of {c}" for c in inputs.manifest.classes)
        return CouldNotRun(
            f"the permutation test needs at least {MIN_PER_CLASS} {name} per class and {MIN_TOTAL} in total, each with "
            f"one label, and there are {there}"
        )
    return Units(column, labels[labels.isin(tested)], tested)


def associations(
    table: pd.DataFrame,
    *,
    labels: np.ndarray,
    measured: Collection[str] = (),
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[Association]:
    """Test every column against the class.

    Parameters
    ----------
    table : DataFrame
        One row a patient: numbers, or text with few values. Missing numbers rank in the middle.
    labels : ndarray, int (N,)
        Classes 0 to K - 1.
    measured : collection of str
        Columns that hold measurements, whose numbers are no categories however few they are.
    permutations, seed : int

    Returns
    -------
    list of Association
        In the order of the columns; constant ones are left out. Text, and numbers with few values, have two as
        categories: Cramer's V over all classes and values, and phi of the one class and value that go together most,
        which finds one special batch among many.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 20)
    >>> table = pd.DataFrame({"bytes": np.arange(40), "format": "PNG", "batch": np.tile(["a", "b"], 20)})
    >>> [str(found) for found in associations(table, labels=labels)]
    ['bytes (AUROC 1.00, p = 0.0001)', "batch (Cramer's V 0.00, p = 1.0000)", 'batch (phi 0.00, p = 1.0000)']
    """
    kept = [c for c in table if table[c].nunique(dropna=False) > 1]
    if not kept:
        return []
    numeric = [c for c in kept if pd.api.types.is_numeric_dtype(table[c])]
    few = min(_FEW_VALUES, len(table) // 3)
    few_valued = [c for c in numeric if c not in measured and 2 < table[c].nunique(dropna=False) <= few]
    categories = [c for c in kept if c not in numeric or c in few_valued]
    statistics: list[_Statistic] = [_separation(table[numeric].to_numpy(float))] if numeric else []
    statistics += [_contingency(pd.factorize(table[c].astype(str))[0]) for c in categories]
    names = [(c, "AUROC") for c in numeric] + [(c, m) for c in categories for m in (CRAMERS_V, "phi")]
    rng = np.random.default_rng(seed)
    values = [np.concatenate([s(_one_hot(labels[None], labels)) for s in statistics], axis=1)]
    reached = np.zeros(len(names))
    for done in range(0, permutations, _BATCH):
        some = rng.permuted(np.tile(labels, (min(_BATCH, permutations - done), 1)), axis=1)
        truth = _one_hot(some, labels)
        values.append(np.concatenate([s(truth) for s in statistics], axis=1))
        reached += (values[-1] >= values[0] - 1e-9).sum(axis=0)
        if done + _BATCH >= _STOP_AFTER and reached.min() > _STOP_P * (done + _BATCH):
            break
    corrected = corrected_p(np.concatenate(values))
    found = [
        Association(name, measure, _effect(measure, values[0][0, i], table[name], labels), float(corrected[i]))
        for i, (name, measure) in enumerate(names)
    ]
    return sorted(found, key=lambda a: kept.index(a.name))


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


def _contingency(codes: np.ndarray) -> _Statistic:
    """Chi-square of classes and values, and the largest phi of a class and a value, (B, 2)."""
    values = (codes[:, None] == np.arange(codes.max() + 1)).astype(np.float32)
    n, of_value = len(codes), values.sum(axis=0)[None, :, None]

    def statistic(truth: np.ndarray) -> np.ndarray:
        counts = np.einsum("nv,bnk->bvk", values, truth, optimize=True)
        of_class = truth.sum(axis=1)[:, None]
        expected = of_value * of_class / n
        chi_square = ((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum(axis=(1, 2))
        spread = np.sqrt(np.maximum(of_value * (n - of_value) * of_class * (n - of_class), 1e-9))
        phi = (n * np.abs(counts - expected) / spread).max(axis=(1, 2))
        return np.stack([chi_square, phi], axis=1).astype(np.float64)

    return statistic


def _effect(measure: str, value: float, column: pd.Series, labels: np.ndarray) -> float:
    if measure != CRAMERS_V:
        return float(0.5 + value) if measure == "AUROC" else float(value)
    n, rows, columns = len(labels), labels.max() + 1, column.astype(str).nunique()
    phi = max(0.0, value / n - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi / least)) if least > 0 else 0.0
