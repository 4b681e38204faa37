"""Effective sample size of correlated patches, and the number of patients that an interval needs.

Patches of one patient tend to be right or wrong together. The intraclass correlation measures by how much, the design
effect by what factor that inflates the variance of a proportion, and rows divided by it are what the sample is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtrit

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.intervals import LEVEL
from her2core.evidence.jackknife import wilson_interval
from her2core.evidence.predictions import Predictions

#: More patients than this are not planned for.
MOST_PATIENTS = 1_000_000


@dataclass(frozen=True)
class EffectiveSample:
    """What correlated rows are worth; made by ``effective_sample``.

    Parameters
    ----------
    unit : str
        Unit of a row.
    rows, patients : int
    intraclass_correlation : float
        Of being right, between rows of one patient; 0 to 1.
    design_effect : float
        Variance of the accuracy over that of as many independent rows; at least 1.
    effective_rows : float
        ``rows / design_effect``.

    Examples
    --------
    >>> print(EffectiveSample("patch", 600, 24, 0.33, 8.92, 67.2).sentence)
    600 patches of 24 patients, worth 67 independent ones (intraclass correlation 0.33, design effect 8.9).
    """

    unit: str
    rows: int
    patients: int
    intraclass_correlation: float
    design_effect: float
    effective_rows: float

    @property
    def variation(self) -> float:
        """Coefficient of variation of the rows of a patient, as the design effect has it; 0 without correlation."""
        if not self.intraclass_correlation:
            return 0.0
        larger = 1 + (self.design_effect - 1) / self.intraclass_correlation  # sum m^2 / N
        return float(np.sqrt(max(0.0, larger / (self.rows / self.patients) - 1)))

    @property
    def sentence(self) -> str:
        """Summary for a caption."""
        units = f"{self.unit}es" if self.unit == "patch" else f"{self.unit}s"
        return (
            f"{self.rows:,} {units} of {self.patients:,} patients, worth {self.effective_rows:,.0f} independent ones "
            f"(intraclass correlation {self.intraclass_correlation:.2f}, design effect {self.design_effect:.1f})."
        )


def intraclass_correlation(values: ArrayLike, *, clusters: ArrayLike) -> float:
    """Intraclass correlation by one-way analysis of variance.

    Parameters
    ----------
    values : array_like of float, shape (N,)
        Whether each row is right, 0 or 1, or any measurement.
    clusters : array_like, shape (N,)
        Patient of each row.

    Returns
    -------
    float
        Cut off at 0 and 1; 1 where nothing varies within the clusters, NaN where nothing varies at all, or no cluster
        has two rows, or there is one cluster.

    References
    ----------
    Donner 1986, doi 10.2307/1403259; Ridout et al. 1999, doi 10.1111/j.0006-341X.1999.00137.x.

    Examples
    --------
    >>> round(intraclass_correlation([1, 1, 1, 0, 0, 0], clusters=[1, 1, 2, 2, 3, 3]), 3)
    0.5
    """
    x, codes = np.asarray(values, np.float64), np.unique(np.asarray(clusters), return_inverse=True)[1]
    sizes = np.bincount(codes)
    n, k = len(x), len(sizes)
    if k < 2 or n == k or np.ptp(x) < 1e-12:
        return float("nan")
    means = np.bincount(codes, x) / sizes
    within = float(((x - means[codes]) ** 2).sum() / (n - k))
    between = float((sizes * (means - x.mean()) ** 2).sum() / (k - 1))
    mean_size = (n - (sizes**2).sum() / n) / (k - 1)
    return float(np.clip((between - within) / (between + (mean_size - 1) * within), 0.0, 1.0))


def effective_sample(predictions: Predictions) -> EffectiveSample | None:
    """How many independent rows the predictions are worth for their accuracy.

    Parameters
    ----------
    predictions : Predictions
        One row per patch or slide.

    Returns
    -------
    EffectiveSample or None
        None where patients are unknown, each has one row, or all rows are right or all wrong, so that the correlation
        cannot be estimated.

    References
    ----------
    Kish 1965, Survey Sampling, ISBN 0-471-48900-X: design effect 1 + (sum m^2 / N - 1) ICC for patients of m rows.

    Examples
    --------
    >>> from her2core.runs.folder import open_run
    >>> effective_sample(open_run("models/demo").test_predictions()).rows
    600
    """
    if not predictions.patients_known or not len(predictions):
        return None
    codes = predictions.patients[0]
    correlation = intraclass_correlation(predictions.predicted == predictions.labels, clusters=codes)
    if not np.isfinite(correlation):
        return None
    sizes = np.bincount(codes)
    effect = 1 + float((sizes**2).sum() / sizes.sum() - 1) * correlation
    n = len(predictions)
    return EffectiveSample(predictions.unit, n, len(sizes), correlation, effect, n / effect)


def patients_for_width(
    width: float, *, proportion: float = 0.5, patches: float = 1.0, correlation: float = 1.0, variation: float = 0.0
) -> int:
    """Number of patients for a 95 % interval of an accuracy or recall that is no wider than wanted.

    Parameters
    ----------
    width : float
        Of the whole interval, above 0.01 and below 1.
    proportion : float
        Expected accuracy or recall, 0 to 1; one half is the worst case.
    patches : float
        Patches per patient, at least 1.
    correlation : float
        Intraclass correlation of a pilot (``effective_sample``), 0 to 1; 1 where a patient counts as a whole.
    variation : float
        Coefficient of variation of the patches per patient (standard deviation over mean), at least 0.

    Returns
    -------
    int
        The smallest number whose effective rows have an interval no wider: Wilson's for one patch a patient, otherwise
        Student's t on the log odds, as ``metric_table`` has it. Patients with the class are meant where the proportion
        is its recall.

    Raises
    ------
    ConfigError
        For an argument out of range.

    References
    ----------
    Wilson 1927, doi 10.1080/01621459.1927.10502953; Kish 1965, ISBN 0-471-48900-X; Eldridge et al. 2006, doi
    10.1093/ije/dyl129 (patients of unequal size); Korn & Graubard 1998, Survey Methodology 24:193.

    Examples
    --------
    >>> patients_for_width(0.2), patients_for_width(0.2, proportion=0.9)
    (93, 37)
    >>> patients_for_width(0.2, patches=25, correlation=0.3)
    34
    """
    if not 0.01 < width < 1:
        raise ConfigError("argument `width` to be above 0.01 and below 1", got=repr(width), fix="Correct it.")
    worth = _worth(proportion, patches, correlation, variation)
    low, high = 0, MOST_PATIENTS
    while high - low > 1:
        middle = (low + high) // 2
        ends = _interval(middle, proportion, worth, patches, variation)
        low, high = (low, middle) if ends[1] - ends[0] <= width + 1e-12 else (middle, high)
    return high


def width_table(
    *, proportion: float = 0.5, patches: float = 1.0, correlation: float = 1.0, variation: float = 0.0, most: int = 1000
) -> pd.DataFrame:
    """Width of the 95 % interval of an accuracy or recall, by the number of patients.

    Parameters
    ----------
    proportion, patches, correlation, variation : float
        As ``patients_for_width`` takes them.
    most : int
        Largest number of patients, at least 5.

    Returns
    -------
    DataFrame
        Columns patients (5 to ``most``, about evenly on a logarithmic scale), lower_95, upper_95 and width.

    Raises
    ------
    ConfigError
        For an argument out of range.

    References
    ----------
    Wilson 1927, doi 10.1080/01621459.1927.10502953; Kish 1965, ISBN 0-471-48900-X.

    Examples
    --------
    >>> width_table(proportion=0.9, most=37).round(3).iloc[-1].to_dict()
    {'patients': 37.0, 'lower_95': 0.763, 'upper_95': 0.962, 'width': 0.199}
    """
    if most < 5:
        raise ConfigError("argument `most` to be at least 5", got=repr(most), fix="Correct it.")
    worth = _worth(proportion, patches, correlation, variation)
    numbers = np.unique(np.rint(np.geomspace(5, most, 60)).astype(int))
    low, high = np.array([_interval(n, proportion, worth, patches, variation) for n in numbers]).T
    return pd.DataFrame({"patients": numbers, "lower_95": low, "upper_95": high, "width": high - low})


def _interval(patients: int, proportion: float, worth: float, patches: float, variation: float) -> tuple[float, float]:
    """Interval of an expected proportion, as the metric table makes it of so many patients."""
    if patches == 1:
        return wilson_interval(proportion, patients * worth)
    effective = patients / (1 + variation**2)
    if proportion in (0, 1):
        return wilson_interval(proportion, effective)
    if effective < 2:
        return 0.0, 1.0
    t = float(stdtrit(effective - 1, (1 + LEVEL) / 2))
    middle, half = logit(proportion), t / np.sqrt(patients * worth * proportion * (1 - proportion))
    return float(expit(middle - half)), float(expit(middle + half))


def _worth(proportion: float, patches: float, correlation: float, variation: float) -> float:
    """Independent rows that a patient is worth; refuses arguments out of range."""
    ranges = (
        ("proportion", proportion, 0 <= proportion <= 1, "from 0 to 1"),
        ("patches", patches, 1 <= patches < np.inf, "at least 1"),
        ("correlation", correlation, 0 <= correlation <= 1, "from 0 to 1"),
        ("variation", variation, 0 <= variation < np.inf, "at least 0"),
    )
    for name, value, fine, said in ranges:
        if not fine:
            raise ConfigError(f"argument `{name}` to be {said}", got=repr(value), fix="Correct it.")
    return patches / (1 + (patches * (1 + variation**2) - 1) * correlation)


def pilot(predictions: Predictions) -> EffectiveSample:
    """Effective sample of a pilot study, or a refusal.

    Parameters
    ----------
    predictions : Predictions
        Test rows by patch.

    Returns
    -------
    EffectiveSample

    Raises
    ------
    EvaluationError
        Where the correlation cannot be estimated.

    Examples
    --------
    >>> from her2core.runs.folder import open_run
    >>> pilot(open_run("models/demo").test_predictions()).patients
    24
    """
    found = effective_sample(predictions)
    if found is None:
        raise EvaluationError(
            "several patches of known patients, some right and some wrong",
            got="none from which a correlation can be estimated",
            where="pilot",
            fix="Name the patients, or give --patches and --correlation.",
        )
    return found
