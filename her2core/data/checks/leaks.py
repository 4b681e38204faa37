"""Does anything stand on both sides of the split by its name? A manifest and a split in; patients and slides out."""

from __future__ import annotations

import pandas as pd

from her2core.data.checks.finding import Finding, finding
from her2core.data.manifest import UNKNOWN, Manifest


def patient_leak(manifest: Manifest, split: pd.DataFrame) -> Finding | None:
    """Patients in several parts of the split; unknown ones are no leak, but a finding of their own."""
    return _crosses(manifest, split, "patient_id", "patient-leak")


def slide_leak(manifest: Manifest, split: pd.DataFrame) -> Finding | None:
    """Slides in several parts of the split."""
    return _crosses(manifest, split, "slide_id", "slide-leak")


def with_parts(manifest: Manifest, split: pd.DataFrame) -> pd.DataFrame:
    """The manifest's rows that the split names, with its ``split``; the manifest's own column is set aside."""
    return manifest.frame.merge(split[["patch_id", "split"]], on="patch_id", suffixes=("_manifest", ""))


def _crosses(manifest: Manifest, split: pd.DataFrame, column: str, code: str) -> Finding | None:
    joined = with_parts(manifest, split)
    joined = joined[joined[column] != UNKNOWN]
    parts = joined.groupby(column)["split"].nunique()
    several = parts.index[parts > 1]
    if several.empty:
        return None
    rows = joined[joined[column].isin(several)]
    return finding(
        code,
        "warning",
        rows,
        f"each {column.removesuffix('_id')} in one part of the split",
        f"{len(several)} in several, the first: {several[0]}",
        "Split by patient; under this split figures make no claim about new patients.",
    )
