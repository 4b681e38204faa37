"""Checks of leakage by id: patients and slides that are in several parts of a split."""

from __future__ import annotations

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, Result, patch_ids
from her2core.data.manifest import UNKNOWN


def patient_leak(inputs: CheckInputs) -> Result:
    """Find patients in several parts of the split; unknown ids are a finding of their own."""
    return _leak(inputs, "patient_id")


def slide_leak(inputs: CheckInputs) -> Result:
    """Find slides in several parts of the split."""
    return _leak(inputs, "slide_id")


def _leak(inputs: CheckInputs, column: str) -> Result:
    name = column.removesuffix("_id")
    rows = inputs.split_rows()
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
