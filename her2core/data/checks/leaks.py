"""Checks of leakage by id: patients and slides that are in several parts of a split."""

from __future__ import annotations

from her2core.data.checks.identity import slide_keys
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, Result, patch_ids
from her2core.data.manifest import UNKNOWN


def patient_leak(inputs: CheckInputs) -> Result:
    """Find patients in several parts of the split; unknown ids are a finding of their own.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> patient_leak(example_inputs(patient_id=["P1", "P1"], split=["train", "test"])).got
    '1 patient in several parts, the first: P1'
    >>> patient_leak(example_inputs(patient_id=["P1", None], split=["train", "test"])).reason
    'patient ids are unknown in 1 of 2 rows'
    """
    return _leak(inputs, "patient_id")


def slide_leak(inputs: CheckInputs) -> Result:
    """Find slides in several parts of the split; numbers of slides within each patient are no common slide.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> slide_leak(example_inputs(slide_id=["S1", "S2"], split=["train", "test"])) is None
    True
    """
    return _leak(inputs, "slide_id")


def _leak(inputs: CheckInputs, column: str) -> Result:
    name = column.removesuffix("_id")
    rows = inputs.split_rows()
    if column == "slide_id":
        rows = rows.assign(slide_id=slide_keys(rows))
    known = rows[rows[column] != UNKNOWN]
    parts = known.groupby(column)["split"].nunique()
    several = parts.index[parts > 1]
    if several.empty:
        unknown = len(rows) - len(known)
        return CouldNotRun(f"{name} ids are unknown in {unknown:,} of {len(rows):,} rows") if unknown else None
    count = f"1 {name}" if len(several) == 1 else f"{len(several)} {name}s"
    return Found(
        f"each {name} in one part of the split",
        f"{count} in several parts, the first: {several[0]}",
        patch_ids(known[known[column].isin(several)]),
    )
