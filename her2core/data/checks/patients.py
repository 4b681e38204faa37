"""Checks of the number of patients: unknown ids, few per class, in the test part, or for an interval; one dominant."""

from __future__ import annotations

import math
from statistics import NormalDist

import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, NotApplicable, Result, patch_ids
from her2core.data.manifest import UNKNOWN
from her2core.data.split_units import PART_NAMES
from her2core.errors import ConfigError

#: Patients per class below which intervals are wide whatever is asked of them (our choice).
MIN_PATIENTS = 10
#: Patients in the test part below which its figures say little about new ones (our choice).
MIN_TEST_PATIENTS = 5
#: Share of the patches above which one patient dominates (our choice), and the fewest patients for which that is asked.
MAX_SHARE, MIN_COMPARED = 0.5, 3


def patients_for_half_width(half_width: float, *, level: float = 0.95, proportion: float = 0.5) -> int:
    """Number of patients for a confidence interval of a recall or accuracy no wider than requested.

    Parameters
    ----------
    half_width : float
        Half of the interval's width, 0.005 to 0.5 (0.1: ten percentage points to each side).
    level : float
        Confidence level between 0 and 1.
    proportion : float
        Expected recall or accuracy, 0 to 1. The default of one half is the worst case: before the test it is unknown.

    Returns
    -------
    int
        The smallest number of patients, each correct or incorrect as a whole, whose Wilson interval is no wider. For a
        proportion of 0.5 the half-width is ``z / (2 sqrt(n + z^2))``.

    Raises
    ------
    ConfigError
        For an argument out of range.

    References
    ----------
    Wilson (1927), J Am Stat Assoc 22:209, doi 10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> patients_for_half_width(0.1)
    93
    >>> patients_for_half_width(0.1, proportion=0.9)
    37
    """
    if not 0.005 <= half_width <= 0.5:
        raise ConfigError(
            "argument `half_width` to be from 0.005 to 0.5",
            got=repr(half_width),
            fix="Give a proportion, such as 0.1 for ten percentage points to each side.",
        )
    if not 0 < level < 1 or not 0 <= proportion <= 1:
        raise ConfigError(
            "arguments `level` between 0 and 1 and `proportion` from 0 to 1",
            got=f"{level!r} and {proportion!r}",
            fix="Use 0.95 and, where the recall is not known, 0.5.",
        )
    z = NormalDist().inv_cdf((1 + level) / 2)

    def half(n: int) -> float:
        return z / (1 + z * z / n) * math.sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n))

    low, high = 1, 1
    while half(high) > half_width:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if half(middle) > half_width else (low, middle)
    return high


def few_patients(inputs: CheckInputs) -> Result:
    """Find classes of fewer than MIN_PATIENTS patients.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> few_patients(example_inputs(patient_id=["P1", "P2"])).got
    '1 patient of negative, 1 patient of positive'
    """
    if not inputs.manifest.patients_known:
        return CouldNotRun("patient ids are unknown")
    counts = inputs.frame.groupby("label")["patient_id"].nunique()
    few = counts[counts < MIN_PATIENTS]
    if few.empty:
        return None
    return Found(
        f"at least {MIN_PATIENTS} patients of each class",
        _counted(few),
        patch_ids(inputs.frame[inputs.frame["label"].isin(few.index)]),
    )


def few_patients_for_interval(inputs: CheckInputs) -> Result:
    """Find classes with too few patients for an interval of their recall within the requested half-width.

    Patients of the test part are counted where there is a split, and all patients otherwise, as if each were tested.
    Raises as `patients_for_half_width`.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> few_patients_for_interval(example_inputs(half_width=0.4, patient_id=["P1", "P2", "P3"])).got
    '2 patients of negative, 1 patient of positive'
    """
    if inputs.half_width is None:
        return NotApplicable("no half-width was requested")
    needed = patients_for_half_width(inputs.half_width)
    if not inputs.manifest.patients_known:
        return CouldNotRun("patient ids are unknown")
    frame, where, note = inputs.frame, "", "All patients are counted here; only those of the test part will count."
    if inputs.split is not None:
        frame = frame[frame["patch_id"].isin(inputs.split.loc[inputs.split["split"] == "test", "patch_id"])]
        where, note = " in the test part", ""
    counts = frame.groupby("label")["patient_id"].nunique().reindex(list(inputs.manifest.classes), fill_value=0)
    few = counts[counts < needed]
    if few.empty:
        return None
    return Found(
        f"at least {needed} patients of each class{where}, for a 95 % Wilson interval of its recall within "
        f"{inputs.half_width:g} to each side, whatever the recall turns out to be",
        _counted(few),
        patch_ids(frame[frame["label"].isin(few.index)]),
        note=note,
    )


def few_test_patients(inputs: CheckInputs) -> Result:
    """Find a test part of fewer than MIN_TEST_PATIENTS patients.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> few_test_patients(example_inputs(patient_id=["P1", "P2", "P2"], split=["train", "test", "test"])).got
    '1 patient of 2 patches'
    """
    rows = inputs.split_rows()
    test = rows[rows["split"] == "test"]
    if test.empty:
        return NotApplicable("the split has no test part")
    if (test["patient_id"] == UNKNOWN).any():
        return CouldNotRun("patient ids are unknown")
    count = test["patient_id"].nunique()
    if count >= MIN_TEST_PATIENTS:
        return None
    patients = "1 patient" if count == 1 else f"{count} patients"
    patches = "1 patch" if len(test) == 1 else f"{len(test)} patches"
    return Found(f"at least {MIN_TEST_PATIENTS} patients in the test part", f"{patients} of {patches}", patch_ids(test))


def dominant_patient(inputs: CheckInputs) -> Result:
    """Find a patient with more than half of all patches, or of the training or test part.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> dominant_patient(example_inputs(patient_id=["P1", "P2", "P3", "P3", "P3"])).got
    'patient P3 with 60% of all patches'
    """
    if not inputs.manifest.patients_known:
        return CouldNotRun("patient ids are unknown")
    if inputs.frame["patient_id"].nunique() < MIN_COMPARED:
        return NotApplicable(f"there are fewer than {MIN_COMPARED} patients")
    groups = {"of all patches": inputs.frame}
    if inputs.split is not None:
        rows = inputs.split_rows()
        groups |= {f"of the {PART_NAMES[p]} part": rows[rows["split"] == p] for p in ("train", "test")}
    said, concerned = [], pd.Series(False, index=inputs.frame.index)
    for where, rows in groups.items():
        shares = rows["patient_id"].value_counts(normalize=True)
        if len(shares) >= MIN_COMPARED and shares.iloc[0] > MAX_SHARE:
            said.append(f"patient {shares.index[0]} with {shares.iloc[0]:.0%} {where}")
            concerned |= inputs.frame["patient_id"] == shares.index[0]
    if not said:
        return None
    return Found("no patient with most of the patches", ", ".join(said), patch_ids(inputs.frame[concerned]))


def unknown_patients(inputs: CheckInputs) -> Result:
    """Find rows without a patient id.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> unknown_patients(example_inputs(patient_id=["P1", None])).rows
    ['1.png']
    """
    rows = inputs.frame[inputs.frame["patient_id"] == UNKNOWN]
    if rows.empty:
        return None
    return Found("a patient id in every row", f"{len(rows)} rows without one", patch_ids(rows))


def _counted(patients: pd.Series) -> str:
    return ", ".join(f"{n} {'patient' if n == 1 else 'patients'} of {label}" for label, n in patients.items())
