"""Is every row complete? A manifest in; what is missing of its files and scales out."""

from __future__ import annotations

from her2core.data.checks.finding import Finding, finding
from her2core.data.manifest import Manifest


def missing_files(manifest: Manifest) -> Finding | None:
    """An error where a file that the manifest names is not there."""
    missing = set(manifest.missing_files())
    if not missing:
        return None
    rows = manifest.frame[manifest.frame["path"].isin(missing)]
    return finding(
        "missing-files",
        "error",
        rows,
        "every file that the manifest names",
        f"{len(missing)} missing, the first: {manifest.file(rows['path'].iloc[0])}",
        "Put the files back, or drop these rows.",
    )


def missing_mpp(manifest: Manifest) -> Finding | None:
    """For information: rows without microns per pixel."""
    rows = manifest.frame[manifest.frame["mpp"].isna()]
    if rows.empty:
        return None
    return finding(
        "missing-mpp",
        "info",
        rows,
        "microns per pixel in every row",
        f"{len(rows)} rows without",
        "Add it: without it nobody can tell whether a new patch shows the same piece of tissue.",
    )
